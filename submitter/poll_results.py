"""What the results of polls mean for a job, as errors that say what was seen."""

import msgspec

from ledger.records import Fault, JobError, Outcome
from ledger.rows import Job
from providers.http import (
    AskNext,
    Ended,
    NotFound,
    PollResult,
    Request,
    Response,
    RetryLater,
    Running,
    TooLong,
    Unreadable,
)
from submitter.provider_calls import PROVIDER_RAISED

UNRECORDABLE = "unrecordable"
"""The code of the error when the database rejects what a provider reported."""


def says_enough(result: PollResult) -> bool:
    """Return whether another poll after the deadline would say no more: the job runs, or our side cannot read it."""
    unreadable = isinstance(result, RetryLater) and result.error.code in {PROVIDER_RAISED, UNRECORDABLE}
    return unreadable or isinstance(result, Running | AskNext)


def read_too_long(job: Job, request: Request, error: TooLong) -> tuple[PollResult, Response | None]:
    """Return what a response means that is longer than the limit: another poll would not shorten it."""
    message = f"{job.provider} answered HTTP {error.status} with more than {error.limit} bytes"
    if not 200 <= error.status < 300:
        return RetryLater(error=JobError(fault=Fault.PROVIDER, code=f"http_{error.status}", message=message)), None
    message += f", the limit MAX_RESULT_BYTES; the result is at {request.url}, with your key"
    outcome = Outcome.failed(JobError(fault=Fault.RENDERHOOK, code="result_too_long", message=message))
    return Ended(outcome=outcome), Response(status=error.status, longer_than=error.limit)


def unreadable_outcome(result: Unreadable, receipt: str) -> Outcome:
    """End a job whose result, or status, stays unreadable. `receipt` is the id of the receipt that has the response."""
    error = msgspec.structs.replace(result.error, message=f"{result.error.message}; the receipt {receipt} has them")
    return Outcome.failed(error) if result.ended else Outcome.expired(error)


def unrecordable_error(job: Job, response: Response) -> JobError:
    """Return the error of an outcome that the database rejects."""
    message = (
        f"the outcome that the provider {job.provider} reported, HTTP {response.status} with {len(response.body)} "
        f"bytes, cannot be recorded; see poll.record_failed in the log"
    )
    return JobError(fault=Fault.RENDERHOOK, code=UNRECORDABLE, message=message)


def not_found_error(job: Job) -> JobError:
    """Return the error of a job that the provider repeatedly did not find."""
    return JobError(
        fault=Fault.PROVIDER,
        code="not_found",
        message=f"{job.provider} does not know request {job.provider_request_id} (any more)",
    )


def last_poll_error(job: Job, age: int, result: PollResult) -> JobError:
    """Return the error of a job that expires, by the result of its last poll, `age` ms after the submission."""
    if isinstance(result, RetryLater):
        message = (
            f"the end of request {job.provider_request_id} was not read within {age // 1000} s; it may have ended, and "
            f"be billed. At the last poll: {result.error.message}"
        )
        return JobError(fault=result.error.fault, code="unread", message=message)
    seen = "does not know" if isinstance(result, NotFound) else "has not ended"
    return JobError(
        fault=Fault.PROVIDER,
        code="timed_out",
        message=f"{job.provider} answered the last poll, {age // 1000} s after the submission, that it {seen} request "
        f"{job.provider_request_id}; it may still finish, and be billed",
    )
