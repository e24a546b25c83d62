"""Copying a ledger from a SQLite file to Postgres, and switching to the copy."""
