"""Requests and responses as values, and what a provider's response means."""

import enum
import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import msgspec

from ledger.records import JobError, Outcome
from providers.errors import Malformed
from providers.reading import read_json

UNREADABLE = msgspec.UNSET
"""The `json` of a response whose body is not JSON. It is not None, which is JSON's null."""

_NO_FIELDS: Mapping[str, Any] = {}


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, ready to send. Its text hides what may hold a key or a token: headers, and all but the host."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""

    def __repr__(self) -> str:
        host = self.url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]
        return f"Request({self.method} {host}, headers {sorted(self.headers)}, {len(self.body)} bytes)"


class Response(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """One HTTP response, or one without its body, of more than `longer_than` bytes.

    Header names are lower case. Its repr hides the body, which may quote the request.
    """

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""
    longer_than: int | None = None

    def __repr__(self) -> str:
        return f"Response({self.status}, {len(self.body)} bytes)"

    @functools.cached_property
    def json(self) -> Any:
        """The decoded body; `UNREADABLE` when it is not JSON. Decoded once, when first read."""
        try:
            return read_json(self.body)
        except Malformed:
            return UNREADABLE

    @property
    def fields(self) -> Mapping[str, Any]:
        """The body's JSON object; empty when the body is anything else."""
        value = self.json
        return value if isinstance(value, dict) else _NO_FIELDS

    @property
    def ok(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has the job. Each URL is None when the provider did not return it or it must not be followed."""

    request_id: str
    status_url: str | None = None
    response_url: str | None = None
    cancel_url: str | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The provider rejected this job for good. Nothing runs; the job fails with this error."""

    error: JobError


class AccountRefused(msgspec.Struct, frozen=True, kw_only=True):
    """The provider rejected our account, and would reject every job of it: a wrong key, or no balance. Nothing runs.

    The job waits, and so do all others of this provider, until a submission shows that the account works again.
    """

    error: JobError


class RetryLater(msgspec.Struct, frozen=True, kw_only=True):
    """The provider did not process the request this time. `retry_after` is seconds, when it named them.

    For a submission, `limit` is the number of such responses after which the job fails. Set it when the provider may
    have taken the job all the same, as with HTTP 500. None: the only limit is SUBMIT_TIMEOUT_SECONDS.
    """

    error: JobError
    retry_after: float | None = None
    limit: int | None = None


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """The provider may have taken the job: the response does not say."""

    error: JobError


class Running(msgspec.Struct, frozen=True, kw_only=True):
    """The job has not ended. `retry_after` is seconds, when the provider named them."""

    retry_after: float | None = None


class AskNext(msgspec.Struct, frozen=True, kw_only=True):
    """The poll needs another request; `read` says what its response means."""

    request: Request
    read: Callable[[Response], "PollResult"]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """The job has ended."""

    outcome: Outcome


class Unreadable(msgspec.Struct, frozen=True, kw_only=True):
    """The response may have the outcome, but cannot be read. `ended` says that the provider reported the end."""

    error: JobError
    ended: bool = False
    retry_after: float | None = None


class NotFound(msgspec.Struct, frozen=True, kw_only=True):
    """The provider does not know the request, or does not know it yet: the poller decides."""


class CancelResult(enum.StrEnum):
    """What a provider did with a cancel. Only `canceled` ends the job; otherwise its callback or poll does."""

    CANCELED = "canceled"
    """Removed from the queue before it ran."""
    REQUESTED = "requested"
    """Running: the provider will try to stop it, and it may still complete."""
    TOO_LATE = "too_late"
    """Already ended."""
    NOT_FOUND = "not_found"
    """The provider does not know the request."""
    REFUSED = "refused"
    """The provider rejected the cancel: wrong key, permission or address."""
    RETRY_LATER = "retry_later"
    """The provider did not process the cancel this time."""


SubmitResult = Submitted | Refused | AccountRefused | RetryLater | Unknown
PollResult = Running | AskNext | Ended | RetryLater | Unreadable | NotFound


class NeverSent(Exception):
    """The request certainly did not reach the provider: connection refused, unknown host, or connect timeout."""


class Unread(Exception):
    """The request was sent, or may have been, and no complete response was read."""


class TooLong(Unread):
    """The response has `status`, and a body of more than `limit` bytes, which was not read to its end."""

    def __init__(self, status: int, limit: int) -> None:
        super().__init__(f"the response is longer than {limit} bytes")
        self.status = status
        self.limit = limit


class Send(Protocol):
    """Sends one request over the network, within its own limits of time and size."""

    async def __call__(self, request: Request) -> Response:
        """Send `request` and return its complete response, whatever its status. Raises `NeverSent` or `Unread`."""
