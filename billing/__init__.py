"""The money: usage, prices, charges, the journal and the ledger. Knows no HTTP (see README.md)."""
