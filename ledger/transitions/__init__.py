"""Every change of the ledger as a transaction, and every reading."""
