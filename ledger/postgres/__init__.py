"""The ledger on Postgres: any number of processes on one database."""
