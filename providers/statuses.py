"""What an HTTP status says about a job, read the same way for every provider."""

TEMPORARY = frozenset({408, 409, 425, 429})
"""Client errors that the same request may not meet again: 408 and 425 were not read, 409 and 429 not accepted now."""


def is_rejected_for_now(status: int) -> bool:
    """Return whether the provider itself did not take the job this time: a `TEMPORARY` status, or its own 5xx."""
    return status in TEMPORARY or (500 <= status < 520 and status not in {502, 504})


def is_own_failure(status: int) -> bool:
    """Return whether the provider itself failed, so that it may have taken the job before: 500, 501, 505 to 519.

    503 is not among them: it says that the request was not handled. https://www.rfc-editor.org/rfc/rfc9110#section-15.6.4
    """
    return 500 <= status < 520 and status not in {502, 503, 504}


def may_have_taken_job(status: int) -> bool:
    """Return whether a gateway answered without the provider's response, so that the job may exist.

    These are 502 and 504, and the statuses from 520 on that content networks use for the same thing.
    """
    return status in {502, 504} or status >= 520 or status < 200


def is_temporary(status: int) -> bool:
    """Return whether a poll or a cancel answered with this status says nothing about the job and is worth a retry."""
    return status in TEMPORARY or status >= 500 or status < 200
