"""What `POST /v1/jobs` takes: read, and checked before anything is spent."""

from collections.abc import Collection
from typing import Any
from urllib.parse import urlsplit

import msgspec

from ledger.requests import NewJob
from outbound.targets import TargetRefused, Targets
from providers import registry
from providers.errors import InputRefused
from receiver.web.problems import Problem

MOST_NOTIFY_URLS = 10
LONGEST_URL = 2048
LONGEST_METADATA = 16_384
LONGEST_IDEMPOTENCY_KEY = 255


class JobRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body, as the user writes it."""

    provider: str
    model: str
    input: dict[str, Any]
    metadata: dict[str, Any] = {}
    notify: list[str] = []


_DECODER = msgspec.json.Decoder(JobRequest)


class JobRequests:
    """Reads job requests. `providers` are those with an account; `signing` says whether notifications are signed."""

    def __init__(self, *, providers: Collection[str], targets: Targets, signing: bool, notify_url: str | None) -> None:
        self._providers = providers
        self._targets = targets
        self._signing = signing
        self._notify_url = notify_url

    def read(self, body: bytes, idempotency_key: str | None) -> NewJob:
        """Make a job of a request's body. Raises Problem: 400 when it cannot be read, 422 when it cannot be done."""
        asked = _decode(body)
        _check_idempotency_key(idempotency_key)
        errors = [*self._provider_errors(asked), *_input_errors(asked), *self._notify_errors(asked.notify)]
        metadata = msgspec.json.encode(asked.metadata)
        if len(metadata) > LONGEST_METADATA:
            errors.append(("metadata", f"is longer than {LONGEST_METADATA} bytes"))
        if errors:
            detail = "; ".join(f"{field}: {message}" for field, message in errors)
            raise Problem(422, detail, errors=tuple({"field": field, "message": message} for field, message in errors))
        return NewJob(
            provider=asked.provider,
            model=asked.model,
            input=msgspec.json.encode(asked.input).decode(),
            metadata=metadata.decode(),
            notify=tuple(url for url in dict.fromkeys(asked.notify) if url != self._notify_url),
            idempotency_key=idempotency_key,
        )

    def _provider_errors(self, asked: JobRequest) -> list[tuple[str, str]]:
        if asked.provider in self._providers:
            return []
        provider = registry.providers().get(asked.provider)
        if provider is None:
            return [("provider", f"must be one of {', '.join(registry.providers())}")]
        return [("provider", f"{asked.provider} cannot be used: {provider.missing} is not set on this receiver")]

    def _notify_errors(self, urls: list[str]) -> list[tuple[str, str]]:
        if not urls:
            return []
        if not self._signing:
            return [("notify", "NOTIFY_SECRET is not set on this receiver, and notifications are signed")]
        if len(urls) > MOST_NOTIFY_URLS:
            return [("notify", f"has {len(urls)} URLs; {MOST_NOTIFY_URLS} at most")]
        found = ((f"notify[{index}]", self._url_fault(url)) for index, url in enumerate(urls))
        return [(field, fault) for field, fault in found if fault]

    def _url_fault(self, url: str) -> str | None:
        try:
            parts = urlsplit(url)
            _ = parts.port  # raises ValueError when it is no number
        except ValueError:
            return "is not a URL"
        if parts.scheme not in {"http", "https"} or not parts.hostname or not url.isascii() or not url.isprintable():
            return "must be an absolute http or https URL in ASCII"
        if len(url) > LONGEST_URL or "@" in parts.netloc or parts.fragment or " " in url:
            return f"must have no user, fragment or space, and at most {LONGEST_URL} characters"
        try:
            self._targets.check_host(parts.hostname)
        except TargetRefused as refused:
            return str(refused)
        return None


def _decode(body: bytes) -> JobRequest:
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError as error:
        raise Problem(422, f"the job is not of the expected shape: {error}") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Problem(400, f"the body is not JSON that can be read: {str(error)[:200]}") from error


def _input_errors(asked: JobRequest) -> list[tuple[str, str]]:
    provider = registry.providers().get(asked.provider)
    if provider is None:
        return []
    try:
        provider.check_input(asked.model, asked.input)
    except InputRefused as refused:
        return [(refused.field if refused.field == "model" else f"input.{refused.field}", refused.message)]
    return []


def _check_idempotency_key(key: str | None) -> None:
    if key is not None and not (1 <= len(key) <= LONGEST_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        raise Problem(400, f"Idempotency-Key must be 1 to {LONGEST_IDEMPOTENCY_KEY} printable ASCII characters")
