"""The life of a request. Knows HTTP, asks billing (see README.md)."""
