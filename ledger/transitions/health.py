"""Whether the ledger can be written."""

from ledger.storage.transaction import Call, Transaction


def prove_writable() -> Transaction[None]:
    """Commit and fsync something that changes nothing: it fails where a callback's record would."""
    return Transaction(steps=(Call("prove_writable"), Call("undo_prove_writable")), values={}, read=lambda _: None)
