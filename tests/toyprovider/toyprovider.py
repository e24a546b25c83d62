"""toy, a provider in one module. Its API renders a prompt into a file and calls back, signed as Standard Webhooks are.

POST /renders {"prompt", "callback_url"} -> {"render"}
GET /renders/ID -> {"state"}; GET /renders/ID/files -> {"files"}; DELETE /renders/ID -> {"state"}
"""

import base64
import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec

from ledger.records import Fault, JobError, Outcome
from providers.errors import InputRefused, Malformed, NoKeyMatches, Reason, Unverified
from providers.find_files import find_files
from providers.http import (
    AccountRefused,
    AskNext,
    CancelResult,
    Ended,
    NotFound,
    PollResult,
    Refused,
    Request,
    Response,
    RetryLater,
    Running,
    SubmitResult,
    Submitted,
    Unknown,
    Unreadable,
)
from providers.provider import Callback, Context, Job
from providers.reading import read_id, read_retry_after, read_text
from providers.responses import is_rejected_for_now, may_have_taken_job, missing_id_error, retry_poll
from settings.readers import read_base_url, read_seconds, read_secrets, read_token
from settings.secrets import reveal
from settings.setting import Declared, Setting

TOLERANCE_SECONDS = 300


class ToySettings(Declared, frozen=True, kw_only=True):
    """toy's settings."""

    toy_api_key: Annotated[str | None, Setting(read_token, secret=True, help="Your key at toy.")]
    toy_api_url: Annotated[str, Setting(read_base_url, default="https://toy.example", help="toy's API.")]
    toy_webhook_secret: Annotated[
        tuple[bytes, ...], Setting(read_secrets, secret=True, many=True, help="Signs toy's callbacks, newest first.")
    ]
    toy_poll_seconds: Annotated[float, Setting(read_seconds, default="5", help="Between polls of a job.")]
    toy_timeout_seconds: Annotated[float, Setting(read_seconds, default="600", help="From submission to `expired`.")]


class ToyAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Our account at toy."""

    url: str
    key: str
    context: Context
    poll_interval: int
    give_up_after: int

    @property
    def calls_back(self) -> bool:
        """Whether jobs are submitted with a callback URL."""
        return self.context.public_url is not None

    def submission(self, job: Job) -> Request:
        """Start a render."""
        prompt = msgspec.json.decode(job.input)["prompt"]
        body = {"prompt": prompt, "callback_url": self.context.callback_url(job.id)}
        return self._request("POST", "/renders", msgspec.json.encode(body))

    def read_submission(self, response: Response) -> SubmitResult:
        """Return whether toy has the job."""
        render = read_id(response.fields.get("render"))
        if response.ok and render is not None:
            return Submitted(request_id=render)
        if response.ok:
            return Unknown(error=missing_id_error(response, provider="toy", field="render"))
        error = read_error(response)
        if may_have_taken_job(response.status):
            return Unknown(error=error)
        if response.status == 401:
            return AccountRefused(error=error)
        if is_rejected_for_now(response.status):
            return RetryLater(error=error, retry_after=read_retry_after(response.headers))
        return Refused(error=error)

    def poll(self, job: Job) -> Request:
        """Ask for the state of a render."""
        return self._request("GET", f"/renders/{job.provider_request_id}")

    def read_poll(self, job: Job, response: Response) -> PollResult:
        """Read the state; the files of a render that is done are asked for next."""
        if response.status == 404:
            return NotFound()
        state = response.fields.get("state")
        if not response.ok or not isinstance(state, str):
            return _retry(response)
        if state == "done":
            request = self._request("GET", f"/renders/{job.provider_request_id}/files")
            return AskNext(request=request, read=_read_files)
        outcome = read_outcome(response.fields)
        return Running(retry_after=read_retry_after(response.headers)) if outcome is None else Ended(outcome=outcome)

    def cancel(self, job: Job) -> Request:
        """Stop a render."""
        return self._request("DELETE", f"/renders/{job.provider_request_id}")

    def read_cancel(self, response: Response) -> CancelResult:
        """Read what a cancel did."""
        if response.ok:
            return CancelResult.CANCELED
        results = {404: CancelResult.NOT_FOUND, 409: CancelResult.TOO_LATE, 401: CancelResult.REFUSED}
        return results.get(response.status, CancelResult.RETRY_LATER)

    def warning(self, response: Response) -> str | None:
        """Return None: toy announces nothing."""
        return None

    def _request(self, method: str, path: str, body: bytes = b"") -> Request:
        headers = {"Authorization": f"Bearer {reveal(self.key)}", "Content-Type": "application/json"}
        return Request(method=method, url=self.url + path, headers=headers, body=body)


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The headers of a callback. https://github.com/standard-webhooks/standard-webhooks"""

    id: str
    timestamp: str
    signature: str


class BodyMacs:
    """The signatures that a body has with each secret, made while it arrives."""

    def __init__(self, macs: Sequence[hmac.HMAC]) -> None:
        self._macs = macs

    def update(self, piece: bytes, /) -> None:
        """Add the next bytes."""
        for mac in self._macs:
            mac.update(piece)

    def signatures(self) -> list[bytes]:
        """Return the signatures, as the header has them."""
        return [b"v1," + base64.b64encode(mac.digest()) for mac in self._macs]


class ToyWebhook(msgspec.Struct, frozen=True, kw_only=True):
    """Verifies toy's callbacks with secrets from the settings."""

    keys: Sequence[bytes]
    proves_account: bool = True

    def open(self, headers: Iterable[tuple[bytes, bytes]], now: int) -> Opened:
        """Read the three headers and check the timestamp."""
        found = {name: value.decode("latin-1") for name, value in headers if name.startswith(b"webhook-")}
        if found.keys() != {b"webhook-id", b"webhook-timestamp", b"webhook-signature"}:
            raise Unverified(Reason.HEADER_MISSING)
        timestamp = found[b"webhook-timestamp"]
        if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= 12):
            raise Unverified(Reason.TIMESTAMP_MALFORMED)
        if now // 1000 - int(timestamp) > TOLERANCE_SECONDS:
            raise Unverified(Reason.TIMESTAMP_TOO_OLD)
        if now // 1000 - int(timestamp) < -TOLERANCE_SECONDS:
            raise Unverified(Reason.TIMESTAMP_AHEAD)
        return Opened(id=found[b"webhook-id"], timestamp=timestamp, signature=found[b"webhook-signature"])

    def body_hash(self, opened: Opened) -> "BodyMacs":
        """Begin the signature of each secret."""
        start = f"{opened.id}.{opened.timestamp}.".encode()
        return BodyMacs([hmac.new(key, start, hashlib.sha256) for key in self.keys])

    def verify(self, opened: Opened, hashed: "BodyMacs", keys: Sequence[bytes]) -> None:
        """Compare the signatures with those of each secret, which the hash has."""
        given = opened.signature.encode().split()
        if not any(hmac.compare_digest(one, other) for one in given for other in hashed.signatures()):
            raise NoKeyMatches

    def request_id(self, opened: Opened) -> None:
        """Return None: the headers name no render."""

    def parse(self, opened: Opened, body: bytes) -> Callback:
        """Read the body, which has the files of a render that is done."""
        fields = Response(status=200, body=body).fields
        render = read_id(fields.get("render"))
        if render is None:
            raise Malformed("no render is named")
        return Callback(request_id=render, outcome=read_outcome(fields))

    def receipt_headers(self, opened: Opened) -> Mapping[str, str]:
        """Return the three headers."""
        return {
            "webhook-id": opened.id,
            "webhook-timestamp": opened.timestamp,
            "webhook-signature": opened.signature,
        }


class Toy:
    """toy."""

    name = "toy"
    settings = ToySettings
    missing = "TOY_API_KEY"
    models = ("sketch",)

    def check_input(self, model: str, fields: Mapping[str, object]) -> None:
        """Require the one model, and a prompt."""
        if model != "sketch":
            raise InputRefused("model", "is not a model of toy; give sketch")
        if not isinstance(fields.get("prompt"), str):
            raise InputRefused("prompt", "is missing; give text")

    def open(self, settings: ToySettings, context: Context) -> ToyAccount | None:
        """Return our account; None without TOY_API_KEY."""
        if settings.toy_api_key is None:
            return None
        return ToyAccount(
            url=settings.toy_api_url,
            key=settings.toy_api_key,
            context=context,
            poll_interval=round(settings.toy_poll_seconds * 1000),
            give_up_after=round(settings.toy_timeout_seconds * 1000),
        )

    def webhook(self, settings: ToySettings) -> ToyWebhook:
        """Return how toy's callbacks are verified."""
        return ToyWebhook(keys=settings.toy_webhook_secret)


PROVIDER = Toy()


def read_outcome(fields: Mapping[str, Any]) -> Outcome | None:
    """Read the outcome of a render; None when it has none yet."""
    match fields.get("state"):
        case "done":
            return Outcome.completed(find_files(fields.get("files"), ("url",)).outputs)
        case "stopped":
            return Outcome.canceled()
        case "failed":
            message = read_text(fields.get("reason")) or "toy gave no reason"
            return Outcome.failed(JobError(fault=Fault.INPUT, code="render_failed", message=message))
    return None


def read_error(response: Response) -> JobError:
    """Read the error of a response that is not 2xx."""
    message = read_text(response.fields.get("reason")) or f"toy answered HTTP {response.status}"
    fault = Fault.ACCOUNT if response.status == 401 else Fault.INPUT if response.status < 500 else Fault.PROVIDER
    return JobError(fault=fault, code=f"http_{response.status}", message=message)


def _read_files(response: Response) -> PollResult:
    if response.ok and isinstance(response.fields.get("files"), list):
        return Ended(outcome=Outcome.completed(find_files(response.fields["files"], ("url",)).outputs))
    return _retry(response)


def _retry(response: Response) -> RetryLater | Unreadable:
    return retry_poll(response, provider="toy", setting="TOY_API_URL", read_error=read_error)
