"""What people look at. Imports nobody."""
