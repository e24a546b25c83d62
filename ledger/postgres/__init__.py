"""The ledger on Postgres: any number of processes on one database, and Procrastinate's work queue beside it."""
