"""Whether the ledger can be written."""

from ledger.verbs import Step, Verb


def prove_writable() -> Verb[None]:
    """Commit and fsync something that changes nothing: it fails where a callback's record would."""
    return Verb(steps=(Step("prove_writable"), Step("leave_as_it_was")), values={}, read=lambda _: None)
