"""Responses that are no use with any provider: redirects, unreadable bodies and errors about the request itself."""

from collections.abc import Callable

from ledger.records import Fault, JobError
from providers.http import Response, RetryLater, Unreadable
from providers.reading import read_retry_after


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
