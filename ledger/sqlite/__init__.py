"""The ledger on one SQLite file."""
