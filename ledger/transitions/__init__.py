"""Every transaction of the ledger, and every read."""
