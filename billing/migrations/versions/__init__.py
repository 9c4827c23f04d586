"""The versions of the ledger's schema, each with its step from the one before. A released one is never changed."""
