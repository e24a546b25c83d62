"""What passes between us and a provider, as values: the request to send, the answer read, and what it means."""

from collections.abc import Mapping

import msgspec

from ledger.records import JobError, Outcome


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP request, ready to send. Header values may hold the provider's key: never log them."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One HTTP response, read whole. Header names are lower case."""

    status: int
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Submitted(msgspec.Struct, frozen=True, kw_only=True):
    """The provider has the job. The URLs are where it says to look, each None when it did not say or must not be trusted."""

    request_id: str
    status_url: str | None = None
    response_url: str | None = None
    cancel_url: str | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The provider read the request and said no for good. Nothing runs; the job fails with this error."""

    error: JobError


class TryLater(msgspec.Struct, frozen=True, kw_only=True):
    """The provider answered that it did not take the request this time. `retry_after` is seconds, when it named them."""

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


SubmitVerdict = Submitted | Refused | TryLater | Unclear
CheckVerdict = Running | ResultReady | Ended | TryLater
