"""Calls of a provider's code. An installed provider may raise or return anything: that never loses a job or a worker.

What it returns is checked too: a value that could not be sent or recorded would raise later, outside these calls.
"""

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import msgspec

from ledger.records import Fault, JobError, JobState, Outcome
from ledger.rows import Job
from providers.http import (
    AskNext,
    Ended,
    PollResult,
    Refused,
    Request,
    Response,
    RetryLater,
    SubmitResult,
    Submitted,
    Unknown,
    Unreadable,
)
from providers.provider import Account
from providers.reading import read_code, read_text
from telemetry.emit import Emit

T = TypeVar("T")

PROVIDER_RAISED = "provider_raised"
"""The code of the error when the code of a provider raised."""

SHOWN = 500
"""Characters of the response to a submission that are logged when it could not be read: it may name a paid request."""

DEFAULT_POLL_INTERVAL, DEFAULT_GIVE_UP_AFTER = 60_000, 86_400_000
"""Milliseconds, in place of those of an account that raise or are no positive numbers."""

_ANYTHING = (Exception, SystemExit, asyncio.CancelledError)
"""No call awaits, so that a CancelledError is the provider's own and not the cancellation of our task."""

_CALLBACK = re.compile(r"(/callbacks/[a-z0-9_-]+/)[\w.~-]+")
_LONGEST_REQUEST_ID = 200


class ProviderCalls:
    """The account of one job's provider. An exception of its code becomes a result, and an event."""

    def __init__(self, account: Account, job: Job, emit: Emit) -> None:
        self._account = account
        self._job = job
        self._emit = emit
        self._secrets: frozenset[str] = frozenset()

    @property
    def poll_interval(self) -> int:
        """The account's interval between polls (ms)."""
        return self._duration("poll_interval", DEFAULT_POLL_INTERVAL)

    @property
    def give_up_after(self) -> int:
        """The time (ms) after which the account's jobs expire."""
        return self._duration("give_up_after", DEFAULT_GIVE_UP_AFTER)

    @property
    def calls_back(self) -> bool:
        """Whether the account expects a callback."""
        found = self._call("calls_back", lambda: bool(self._account.calls_back))
        return True if isinstance(found, _Raised) else found

    def submission(self) -> Request | Refused:
        """Build the request that submits the job. Refused if that raised: nothing was sent, so nothing is billed."""
        built = self._call("submission", lambda: _checked_request(self._account.submission(self._job)))
        if isinstance(built, _Raised):
            return Refused(error=_error(built, "Nothing was sent, so nothing is billed"))
        words = (word for value in built.headers.values() for word in value.split())
        self._secrets = frozenset(word for word in words if len(word) >= 8)
        return built

    def read_submission(self, response: Response) -> SubmitResult:
        """Read the response to the submission. Unknown if that raised: the provider may have the job."""
        read = self._call(
            "read_submission",
            lambda: _checked_submission(self._account.read_submission(response)),
            response=self._shown(response),
        )
        return Unknown(error=_error(read, _seen(response))) if isinstance(read, _Raised) else read

    def poll(self) -> AskNext | RetryLater:
        """Build the first request of a poll. RetryLater if that raised."""
        built = self._call("poll", lambda: _checked_request(self._account.poll(self._job)))
        if isinstance(built, _Raised):
            return RetryLater(error=_error(built, "Nothing was sent"))
        return AskNext(request=built, read=partial(self._account.read_poll, self._job))

    def read_poll(self, asked: AskNext, response: Response) -> PollResult:
        """Read the response to a request of a poll. RetryLater if that raised."""
        read = self._call("read_poll", lambda: _checked_poll(asked.read(response)))
        return RetryLater(error=_error(read, _seen(response))) if isinstance(read, _Raised) else read

    def emit_warning(self, response: Response) -> None:
        """Emit what the provider announced in a response, if anything."""
        warning = self._call("warning", lambda: read_text(self._account.warning(response)))
        if warning and not isinstance(warning, _Raised):
            self._emit("provider.warning_received", provider=self._job.provider, warning=warning)

    def _duration(self, name: str, default: int) -> int:
        found = self._call(name, lambda: _positive(getattr(self._account, name)))
        return default if isinstance(found, _Raised) else found

    def _call(self, step: str, call: Callable[[], T], **seen: object) -> "T | _Raised":
        try:
            return call()
        except _ANYTHING as error:
            raised = _Raised(self._job.provider, step, type(error).__name__)
            where = _location(error)
        self._emit(
            "provider.raised",
            job=self._job.id,
            provider=raised.provider,
            step=step,
            exception=raised.exception,
            location=where,
            **seen,
        )
        return raised

    def _shown(self, response: Response) -> str:
        """Return the beginning of a response without what our request had in its headers, and without tokens."""
        text = response.body[:SHOWN].decode(errors="replace")
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _CALLBACK.sub(r"\1***", text)


class _Raised(msgspec.Struct, frozen=True):
    provider: str
    step: str
    exception: str


def _checked_request(request: object) -> Request:
    if not isinstance(request, Request) or not isinstance(request.body, bytes):
        raise TypeError("not a Request, or its body is not bytes")
    headers = msgspec.convert(request.headers, dict[str, str])
    texts = msgspec.convert([request.method, request.url, *headers, *headers.values()], list[str])
    if any(char in text for text in texts for char in "\r\n\0"):
        raise ValueError("a line break or NUL in the method, the URL or a header")
    return request


def _checked_submission(result: object) -> SubmitResult:
    checked: SubmitResult = _checked(result, SubmitResult)
    if not isinstance(checked, Submitted):
        return msgspec.structs.replace(checked, error=_readable(checked.error))
    if not 0 < len(checked.request_id) <= _LONGEST_REQUEST_ID:
        raise ValueError(f"a request id has 1 to {_LONGEST_REQUEST_ID} characters")
    _refuse_nul(checked)
    return checked


def _checked_poll(result: object) -> PollResult:
    if isinstance(result, AskNext):
        _checked_request(result.request)
        return result
    checked: PollResult = _checked(result, PollResult)
    if isinstance(checked, RetryLater | Unreadable):
        return msgspec.structs.replace(checked, error=_readable(checked.error))
    if isinstance(checked, Ended):
        return Ended(outcome=_checked_outcome(checked.outcome))
    return checked


def _checked_outcome(outcome: Outcome) -> Outcome:
    failed = outcome.state in {JobState.FAILED, JobState.EXPIRED}
    if not outcome.state.is_terminal or failed != (outcome.error is not None):
        raise ValueError("an outcome has a terminal state, and an error when it failed or expired")
    error = outcome.error and _readable(outcome.error)
    outcome = msgspec.structs.replace(outcome, error=error, warning=read_text(outcome.warning))
    _refuse_nul(outcome)
    return outcome


def _checked(result: object, kind: Any) -> Any:
    """Return a result of the kind, if its fields have the types that they declare and its texts can be encoded."""
    if not isinstance(result, kind):
        raise TypeError(f"a {type(result).__name__} is not a result")
    return msgspec.json.decode(msgspec.json.encode(result), type=type(result))


def _refuse_nul(stored: msgspec.Struct) -> None:
    if b"\\u0000" in msgspec.json.encode(stored):  # Postgres has no NUL in texts
        raise ValueError("NUL in a text")


def _readable(error: JobError) -> JobError:
    """Return the error with texts that a database takes and a log shows on one line."""
    message = read_text(error.message) or "the provider gave no reason"
    return msgspec.structs.replace(error, code=read_code(error.code) or "unexplained", message=message)


def _positive(number: object) -> int:
    if not isinstance(number, int) or number <= 0:
        raise ValueError("not a positive number of milliseconds")
    return number


def _error(raised: _Raised, seen: str) -> JobError:
    message = f"the code of the provider {raised.provider} raised {raised.exception} in {raised.step}. {seen}"
    return JobError(fault=Fault.RENDERHOOK, code=PROVIDER_RAISED, message=message)


def _seen(response: Response) -> str:
    return (
        f"A response was read, HTTP {response.status} with {len(response.body)} bytes; see provider.raised in the log"
    )


def _location(error: BaseException) -> str:
    """Return the file and line that raised. The message of the exception is left out: it may hold a key."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "" if frame is None else f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}"
