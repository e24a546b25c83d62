"""The body of `POST /v1/jobs`: read, and checked before a provider is asked."""

import difflib
from collections.abc import Collection
from typing import Any

import msgspec

from ledger.requests import NewJob
from outbound.targets import TargetRefused, Targets
from providers import registry
from providers.errors import InputRefused
from receiver.api.data_uris import shorten_data_uris
from receiver.web.json_bodies import decode, read_body_as, unprocessable
from receiver.web.problems import Problem
from settings.urls import parse_http_url

MOST_NOTIFY_URLS = 10
LONGEST_METADATA = 16_384
LONGEST_IDEMPOTENCY_KEY = 255

ALIKE = 0.9
"""How similar a model must be to a known one to be taken for a typing mistake: 1 is equal but for upper case."""


class JobRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body, as the user sends it. `input` is kept byte for byte: decoding loses duplicate keys and long numbers."""

    provider: str
    model: str
    input: msgspec.Raw
    metadata: dict[str, Any] = {}
    notify: list[str] = []
    allow_unknown_model: bool = False


class JobRequests:
    """Reads job requests. `providers` are those with an account; `signing` says whether notifications are signed."""

    def __init__(self, *, providers: Collection[str], targets: Targets, signing: bool) -> None:
        self._providers = providers
        self._targets = targets
        self._signing = signing

    def read(self, body: bytes, idempotency_key: str | None) -> NewJob:
        """Read a job from a request's body. Raises Problem: 400 when it cannot be read, 422 when it cannot be done."""
        request = read_body_as(JobRequest, body)
        _check_idempotency_key(idempotency_key)
        errors = [
            *self._provider_errors(request),
            *_model_errors(request),
            *_input_errors(request),
            *self._notify_errors(request.notify),
        ]
        metadata = msgspec.json.encode(request.metadata)
        if len(metadata) > LONGEST_METADATA:
            errors.append(("metadata", f"is longer than {LONGEST_METADATA} bytes"))
        if errors:
            raise unprocessable(errors)
        input_ = bytes(request.input).decode()
        return NewJob(
            provider=request.provider,
            model=request.model,
            input=input_,
            short_input=shorten_data_uris(input_),
            metadata=metadata.decode(),
            notify=tuple(dict.fromkeys(request.notify)),
            idempotency_key=idempotency_key,
        )

    def _provider_errors(self, request: JobRequest) -> list[tuple[str, str]]:
        if request.provider in self._providers:
            return []
        provider = registry.providers().get(request.provider)
        if provider is None:
            return [("provider", f"must be one of {', '.join(registry.providers())}, not {request.provider[:100]!r}")]
        return [("provider", f"{request.provider} cannot be used: {provider.missing} is not set on this receiver")]

    def _notify_errors(self, urls: list[str]) -> list[tuple[str, str]]:
        if not urls:
            return []
        if not self._signing:
            return [("notify", "NOTIFY_SECRET is not set on this receiver, and notifications are signed")]
        if len(urls) > MOST_NOTIFY_URLS:
            return [("notify", f"has {len(urls)} URLs; {MOST_NOTIFY_URLS} at most")]
        found = ((f"notify[{index}]", self._url_error(url)) for index, url in enumerate(urls))
        return [(field, error) for field, error in found if error]

    def _url_error(self, url: str) -> str | None:
        try:
            self._targets.check_host(parse_http_url(url).hostname or "")
        except (ValueError, TargetRefused) as error:
            return str(error)
        return None


def _model_errors(request: JobRequest) -> list[tuple[str, str]]:
    provider = registry.providers().get(request.provider)
    known = {} if provider is None else {model.casefold(): model for model in provider.models}
    if request.allow_unknown_model or request.model in known.values():
        return []
    close = difflib.get_close_matches(request.model.casefold(), known, n=1, cutoff=ALIKE)
    guess = "did you mean {}? If not, send allow_unknown_model: true"
    return [("model", f"is not known; {guess.format(known[each])}") for each in close]


def _input_errors(request: JobRequest) -> list[tuple[str, str]]:
    try:
        values = decode(request.input, dict[str, Any])
    except ValueError as error:
        return [("input", str(error).rpartition("\n")[2])]
    provider = registry.providers().get(request.provider)
    if provider is None:
        return []
    try:
        provider.check_input(request.model, values)
    except InputRefused as refused:
        return [(refused.field if refused.field == "model" else f"input.{refused.field}", refused.message)]
    return []


def _check_idempotency_key(key: str | None) -> None:
    if key is not None and not (1 <= len(key) <= LONGEST_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        raise Problem(400, f"Idempotency-Key must be 1 to {LONGEST_IDEMPOTENCY_KEY} printable ASCII characters")
