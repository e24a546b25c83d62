"""The body of `POST /v1/jobs`: read, and checked before a provider is asked."""

from collections.abc import Collection, Iterator
from typing import Annotated, Any

import msgspec

from ledger.requests import NewJob
from outbound.targets import TargetRefused, Targets
from providers import registry
from providers.errors import InputRefused
from receiver.bodies.data_uris import shorten_data_uris
from receiver.bodies.json_fields import read_fields, read_values, too_deep
from receiver.web.fields import did_you_mean, fields_problem
from receiver.web.problems import Problem
from settings.urls import parse_http_url

MOST_NOTIFY_URLS = 10
LONGEST_METADATA = 16_384
LONGEST_IDEMPOTENCY_KEY = 255

_ALIKE = 0.9
"""How much a model must resemble a known one to be taken for a mistake: 1 is equal but for the case of letters."""

_OTHER_NAMES = dict.fromkeys(("webhook", "webhook_url", "callback_url", "notify_url"), "notify")
"""What other services call a field of ours."""


class JobRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body, as the user sends it. `input` is kept byte for byte: decoding loses duplicate keys and long numbers."""

    provider: Annotated[str, msgspec.Meta(description="the name of a provider")]
    model: Annotated[
        str,
        msgspec.Meta(min_length=1, max_length=200, description="a model of the provider, 1 to 200 characters"),
    ]
    input: Annotated[msgspec.Raw, msgspec.Meta(description="an object, the model's input")]
    metadata: Annotated[msgspec.Raw, msgspec.Meta(description="an object")] = msgspec.Raw(b"{}")
    notify: Annotated[list[str], msgspec.Meta(description="a list of http or https URLs")] = []
    allow_unknown_model: Annotated[bool, msgspec.Meta(description="true or false")] = False


class ReadRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was read, and what would be wrong with it if it were new.

    `errors` depend on this receiver's settings and release. A job that was accepted before is answered all the same.
    """

    job: NewJob
    errors: tuple[tuple[str, str], ...]

    def check(self) -> None:
        """Raise Problem 422 if anything is wrong."""
        if self.errors:
            raise fields_problem(self.errors)


class JobRequests:
    """Reads job requests. `providers` are those with an account; `signing` says whether notifications are signed."""

    def __init__(self, *, providers: Collection[str], targets: Targets, signing: bool) -> None:
        self._providers = providers
        self._targets = targets
        self._signing = signing

    def read(self, body: bytes, idempotency_key: str | None) -> ReadRequest:
        """Read a job from a request's body. Raises Problem 400, 413 or 422 when it cannot be read."""
        _check_idempotency_key(idempotency_key)
        known = {"provider": registry.providers()}
        request = read_fields(body, JobRequest, of="a job", other_names=_OTHER_NAMES, allowed=known)
        try:
            return self._read(request, idempotency_key)
        except RecursionError:
            raise too_deep() from None

    def _read(self, request: JobRequest, idempotency_key: str | None) -> ReadRequest:
        text = bytes(request.input).decode()
        values = read_values(request.input, "input")
        metadata = msgspec.json.encode(read_values(request.metadata, "metadata"))
        job = NewJob(
            provider=request.provider,
            model=request.model,
            input=text,
            short_input=shorten_data_uris(text),
            metadata=metadata.decode(),
            notify=tuple(dict.fromkeys(request.notify)),
            idempotency_key=idempotency_key,
        )
        _ = job.digest  # here, because for a large body this runs in a thread
        errors = [*self._errors(job, values)]
        if not request.allow_unknown_model:
            errors += _model_errors(job)
        return ReadRequest(job=job, errors=tuple(errors))

    def _errors(self, job: NewJob, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
        yield from self._provider_errors(job)
        yield from _input_errors(job, values)
        yield from self._notify_errors(job.notify)
        if len(job.metadata.encode()) > LONGEST_METADATA:
            yield "metadata", f"is longer than {LONGEST_METADATA} bytes"

    def _provider_errors(self, job: NewJob) -> Iterator[tuple[str, str]]:
        if job.provider not in self._providers:
            missing = registry.providers()[job.provider].missing
            yield "provider", f"{job.provider} cannot be used: {missing} is not set on this receiver"

    def _notify_errors(self, urls: Collection[str]) -> Iterator[tuple[str, str]]:
        if not urls:
            return
        if not self._signing:
            yield "notify", "NOTIFY_SECRET is not set on this receiver, and notifications are signed"
        elif len(urls) > MOST_NOTIFY_URLS:
            yield "notify", f"has {len(urls)} URLs; {MOST_NOTIFY_URLS} at most"
        else:
            found = ((f"notify[{index}]", self._url_error(url)) for index, url in enumerate(urls))
            yield from ((field, error) for field, error in found if error)

    def _url_error(self, url: str) -> str | None:
        try:
            self._targets.check_host(parse_http_url(url).hostname or "")
        except (ValueError, TargetRefused) as error:
            return str(error)
        return None


def _input_errors(job: NewJob, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        registry.providers()[job.provider].check_input(job.model, values)
    except InputRefused as refused:
        yield refused.field if refused.field == "model" else f"input.{refused.field}", refused.message


def _model_errors(job: NewJob) -> Iterator[tuple[str, str]]:
    known = registry.providers()[job.provider].models
    close = None if job.model in known else did_you_mean(job.model, known, cutoff=_ALIKE)
    if close:
        yield "model", f"is not known; did you mean {close}? Send allow_unknown_model: true if not"


def _check_idempotency_key(key: str | None) -> None:
    if key is not None and not (1 <= len(key) <= LONGEST_IDEMPOTENCY_KEY and key.isascii() and key.isprintable()):
        raise Problem(400, f"Idempotency-Key must be 1 to {LONGEST_IDEMPOTENCY_KEY} printable ASCII characters")
