"""What a response means with any provider: by its HTTP status alone, and when it is no use."""

from collections.abc import Callable

from ledger.records import Fault, JobError
from providers.http import Response, RetryLater, Unreadable
from providers.reading import read_retry_after

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


def redirect_error(response: Response, *, provider: str, setting: str) -> JobError:
    """Return the error for a redirect, which is never followed. `setting` holds the URL that is probably wrong."""
    message = f"{provider} answered HTTP {response.status}, a redirect, which is not followed; check {setting}"
    return JobError(fault=Fault.RENDERHOOK, code="redirected", message=message)


def missing_id_error(response: Response, *, provider: str, field: str) -> JobError:
    """Return the error for a successful submission whose response has no usable id in `field`."""
    message = f"{provider} answered HTTP {response.status} without a readable {field}; it may have taken the job"
    return JobError(fault=Fault.NETWORK, code="answer_unreadable", message=message)


def retry_poll(
    response: Response, *, provider: str, setting: str, read_error: Callable[[Response], JobError], ended: bool = False
) -> RetryLater | Unreadable:
    """Return the result of a poll whose response does not say whether the job has ended, or how.

    `read_error` reads a 4xx or 5xx. `ended` says that the provider reported the end in a response before.
    """
    retry_after = read_retry_after(response.headers)
    if response.ok:
        what = "the result" if ended else "the status of the job"
        message = f"{provider} answered HTTP {response.status} with {len(response.body)} bytes that are not {what}"
        error = JobError(fault=Fault.PROVIDER, code="unreadable", message=message)
        return Unreadable(error=error, ended=ended, retry_after=retry_after)
    if 300 <= response.status < 400:
        error = redirect_error(response, provider=provider, setting=setting)
    else:
        error = read_error(response)
    return RetryLater(error=error, retry_after=retry_after)
