"""What passes between us and a provider, as values: the request to send, the answer read, and what it means."""

import enum
from collections.abc import Mapping
from typing import Protocol

import msgspec

from ledger.records import JobError, Outcome


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, ready to send. Header values may hold the provider's key: never log them."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP response, read whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has the job.

    The URLs are where it says to look, each None when it did not say or must not be trusted.
    """

    request_id: str
    status_url: str | None = None
    response_url: str | None = None
    cancel_url: str | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The provider read the request and said no for good. Nothing runs; the job fails with this error."""

    error: JobError


class TryLater(msgspec.Struct, frozen=True, kw_only=True):
    """The provider answered that it did not take the request this time.

    `retry_after` is seconds, when it named them.
    """

    error: JobError
    retry_after: float | None = None


class Unclear(msgspec.Struct, frozen=True, kw_only=True):
    """The provider may or may not have taken the request: the answer cannot be read as either."""

    error: JobError


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """Still at work. Waiting is not failing. `retry_after` is seconds, when the provider named them."""

    retry_after: float | None = None


class ResultReady(msgspec.Struct, frozen=True, kw_only=True):
    """Finished, and the result has to be fetched with a request of its own."""


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The provider decided."""

    outcome: Outcome


class Missing(msgspec.Struct, frozen=True, kw_only=True):
    """The provider says it does not know the request. It may only not know it yet: the poller decides."""


class CancelVerdict(enum.StrEnum):
    """What became of asking a provider to stop. Only `canceled` ends a job; the others leave it to callback or poll."""

    CANCELED = "canceled"
    """Taken out of the queue before it ran."""
    REQUESTED = "requested"
    """Running: asked to stop, and may complete all the same."""
    TOO_LATE = "too_late"
    """Finished already; its outcome is on its way or can be fetched."""
    UNKNOWN = "unknown"
    """The provider does not know the request."""
    REFUSED = "refused"
    """The provider will not do it for us: key, permission, or a wrong address."""
    TRY_LATER = "try_later"
    """The provider did not answer the question this time."""


SubmitResult = Submitted | Refused | TryLater | Unclear
PollResult = Running | ResultReady | Ended | TryLater | Missing


class NeverSent(Exception):
    """The request certainly did not reach the provider: refused connection, no such host, no connection in time."""


class Unread(Exception):
    """The request left, or may have, and no whole answer was read."""


class Send(Protocol):
    """Whatever carries a request over the network. Raises `NeverSent` or `Unread`; any answer, even a 500, returns."""

    async def __call__(self, request: Request) -> Response:
        """Send `request` and read its answer whole, within this carrier's bounds of time and size."""
