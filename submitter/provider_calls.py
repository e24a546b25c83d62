"""Calls of a provider's code. An installed provider may raise anything: that never loses a job or ends a worker."""

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from ledger.records import Fault, JobError
from ledger.rows import Job
from providers.http import AskNext, PollResult, Refused, Request, Response, RetryLater, SubmitResult, Unknown
from providers.provider import Account
from telemetry.emit import Emit

T = TypeVar("T")

SHOWN = 500
"""Characters of a response that are logged when the provider's code could not read it: it may name a paid request."""


class ProviderCalls:
    """The account of one job's provider. An exception of its code becomes a result, and an event."""

    def __init__(self, account: Account, job: Job, emit: Emit) -> None:
        self._account = account
        self._job = job
        self._emit = emit

    def submission(self) -> Request | Refused:
        """Build the request that submits the job. Refused if that raised: nothing was sent, so nothing is billed."""
        built = self._call("submission", partial(self._account.submission, self._job))
        return Refused(error=_error(built, "Nothing was sent")) if isinstance(built, _Raised) else built

    def read_submission(self, response: Response) -> SubmitResult:
        """Read the response to the submission. Unknown if that raised: the provider may have the job."""
        read = self._call("read_submission", partial(self._account.read_submission, response), response)
        return Unknown(error=_error(read, _seen(response))) if isinstance(read, _Raised) else read

    def poll(self) -> AskNext | RetryLater:
        """Build the first request of a poll. RetryLater if that raised."""
        built = self._call("poll", partial(self._account.poll, self._job))
        if isinstance(built, _Raised):
            return RetryLater(error=_error(built, "Nothing was sent"))
        return AskNext(request=built, read=partial(self._account.read_poll, self._job))

    def read_poll(self, asked: AskNext, response: Response) -> PollResult:
        """Read the response to a request of a poll. RetryLater if that raised."""
        read = self._call("read_poll", partial(asked.read, response), response)
        return RetryLater(error=_error(read, _seen(response))) if isinstance(read, _Raised) else read

    def emit_warning(self, response: Response) -> None:
        """Emit what the provider announced in a response, if anything."""
        warning = self._call("warning", partial(self._account.warning, response))
        if warning and not isinstance(warning, _Raised):
            self._emit("provider.warning_received", provider=self._job.provider, warning=warning)

    def _call(self, step: str, call: Callable[[], T], response: Response | None = None) -> "T | _Raised":
        try:
            return call()
        except Exception as error:  # noqa: BLE001 - the code of an installed provider may raise anything
            raised = _Raised(self._job.provider, step, type(error).__name__)
            shown = "" if response is None else response.body[:SHOWN].decode(errors="replace")
            self._emit(
                "provider.raised",
                job=self._job.id,
                provider=self._job.provider,
                step=step,
                exception=raised.exception,
                location=_location(error),
                response=shown,
            )
            return raised


class _Raised:
    def __init__(self, provider: str, step: str, exception: str) -> None:
        self.provider = provider
        self.step = step
        self.exception = exception


def _error(raised: _Raised, seen: str) -> JobError:
    message = f"the code of the provider {raised.provider} raised {raised.exception} in {raised.step}. {seen}"
    return JobError(fault=Fault.RENDERHOOK, code="provider_raised", message=message)


def _seen(response: Response) -> str:
    return (
        f"A response was read, HTTP {response.status} with {len(response.body)} bytes; see provider.raised in the log"
    )


def _location(error: Exception) -> str:
    """Return the file and line that raised. The message of the exception is left out: it may hold a key."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "" if frame is None else f"{frame.tb_frame.f_code.co_filename.rpartition('/')[2]}:{frame.tb_lineno}"
