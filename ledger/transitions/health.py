"""The check whether the database can be written."""

from ledger.storage.transaction import Call, Transaction


def prove_writable() -> Transaction[None]:
    """Write a page and change no row. Fails if recording a callback would fail."""
    return Transaction(steps=(Call("prove_writable"), Call("undo_prove_writable")), values={}, read=lambda _: None)
