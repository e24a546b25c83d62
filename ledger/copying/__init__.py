"""Moving a ledger from a file of SQLite's to Postgres: read, brought over, compared, and opened there."""
