"""What a provider is: the interface that each folder in this package, and each installed provider, satisfies.

A `Provider` is one object, found by the registry. It opens an `Account`, which builds requests and reads responses,
and a `Webhook`, which verifies and reads callbacks. All of them are pure: they are given headers, bodies and the
time, and neither open sockets nor read clocks.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from ledger.records import Outcome
from providers.callback_tokens import CallbackTokens
from providers.http import CancelResult, PollResult, Request, Response, SubmitResult

SettingsT = TypeVar("SettingsT", bound=msgspec.Struct)
OpenedT = TypeVar("OpenedT")
HashT = TypeVar("HashT", bound="BodyHash")
KeyT = TypeVar("KeyT")

CALLBACKS = "/callbacks/"
"""Where providers call back: below it a provider's name, and below that one token for each job."""


class Job(Protocol):
    """What a provider may read of a job. Ids and URLs are those of its submission."""

    @property
    def id(self) -> str:
        """Our id."""

    @property
    def model(self) -> str:
        """The model, as the provider names it."""

    @property
    def input(self) -> str:
        """The model's input, as JSON text: whole in a submission, with its data: URIs shortened in a poll or cancel."""

    @property
    def provider_request_id(self) -> str | None:
        """The provider's id; None before it has the job."""

    @property
    def status_url(self) -> str | None:
        """Where to poll; None when the provider returned no URL."""

    @property
    def response_url(self) -> str | None:
        """Where the result is; None when the provider returned no URL."""

    @property
    def cancel_url(self) -> str | None:
        """Where to cancel; None when the provider returned no URL."""


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What an account may need that is not a setting of its provider."""

    provider: str
    public_url: str | None
    tokens: CallbackTokens

    def callback_url(self, job_id: str) -> str | None:
        """Return the URL for callbacks about a job; None without a public URL."""
        if self.public_url is None:
            return None
        return f"{self.public_url}{CALLBACKS}{self.provider}/{self.tokens.sign(job_id)}"


class Account(Protocol):
    """Our account at a provider. Durations are milliseconds. Methods that read a response never raise."""

    @property
    def calls_back(self) -> bool:
        """Whether the provider calls back when a job ends."""

    @property
    def poll_interval(self) -> int:
        """The time from submission to the first poll, and between polls."""

    @property
    def give_up_after(self) -> int:
        """The time from submission after which a job that has not ended expires."""

    def submission(self, job: Job) -> Request:
        """Build the request that submits `job`."""

    def read_submission(self, response: Response) -> SubmitResult:
        """Return what the response to a submission means."""

    def poll(self, job: Job) -> Request:
        """Build the request that polls `job`, which was submitted."""

    def read_poll(self, job: Job, response: Response) -> PollResult:
        """Return what the response to a poll of `job` means; `AskNext` when another request has to follow."""

    def cancel(self, job: Job) -> Request | None:
        """Build the request that cancels `job`; None when the provider cannot cancel."""

    def read_cancel(self, response: Response) -> CancelResult:
        """Return what the response to a cancel means. Only called when `cancel` returned a request."""

    def warning(self, response: Response) -> str | None:
        """Return what an operator should know from this response, such as an announced end of the API."""


class Callback(msgspec.Struct, frozen=True, kw_only=True):
    """What a verified callback reports. `outcome` is None when the result has to be polled.

    `request_id` is None when the callback does not name a request: the poll is then that of the job in its URL.
    """

    request_id: str | None
    outcome: Outcome | None = None


class BodyHash(Protocol):
    """A hash of a body that is given to it in pieces, in order."""

    def update(self, piece: bytes, /) -> None:
        """Add the next bytes."""


class PublishedKeys(msgspec.Struct, Generic[KeyT], frozen=True, kw_only=True):
    """Public keys that the provider publishes at a URL, which is the value of `setting`.

    `read` decodes the response's body. It raises `Malformed` when there is no usable key in it.
    """

    url: str
    setting: str
    read: Callable[[bytes], Sequence[KeyT]]


class Webhook(Protocol[OpenedT, HashT, KeyT]):
    """The callbacks of a provider. The application calls `open`, `body_hash`, `verify` and `parse`, in this order.

    `open` and `verify` raise `Unverified`. What `open` returns is passed to the others.
    """

    @property
    def keys(self) -> PublishedKeys[KeyT] | Sequence[KeyT]:
        """What verifies signatures: keys that have to be fetched, or secrets from the settings."""

    @property
    def proves_account(self) -> bool:
        """Whether a verified callback is certainly about our account.

        If not, it counts only for a request id that the provider gave us, or that a poll with our key finds.
        """

    def open(self, headers: Iterable[tuple[bytes, bytes]], now: int) -> OpenedT:
        """Read and check the headers, before the body is read: shape, account, timestamp.

        Names are in lower case, as ASGI gives them. `now` is ms since the epoch.
        """

    def body_hash(self, opened: OpenedT) -> HashT:
        """Return what hashes the body while it arrives, so that a body that is too long to keep can be verified."""

    def verify(self, opened: OpenedT, hashed: HashT, keys: Sequence[KeyT]) -> None:
        """Check the signature. Raises `NoKeyMatches` unless one of the keys made it over exactly what was hashed."""

    def request_id(self, opened: OpenedT) -> str | None:
        """Return the request that the signed headers name; None if they name none."""

    def parse(self, opened: OpenedT, body: bytes) -> Callback:
        """Read a verified body. Raises `Malformed` when it cannot be read: it is kept, and a poll is due.

        Raises `Unverified` only when the body contradicts the signed headers.
        """

    def receipt_headers(self, opened: OpenedT) -> Mapping[str, str]:
        """Return the headers that were signed: they are kept, so that the receipt can be verified again."""


class Provider(Protocol[SettingsT]):
    """One provider. `name` is used in URLs, metrics and the database: lower case letters, digits, `-` and `_`."""

    @property
    def name(self) -> str:
        """The provider's name, as jobs give it."""

    @property
    def settings(self) -> type[SettingsT]:
        """The settings it reads from the environment. Each name begins with the provider's."""

    @property
    def missing(self) -> str:
        """The name of the setting to set when `open` returns None."""

    @property
    def models(self) -> Collection[str]:
        """The models whose inputs `check_input` knows, for "did you mean". There may be others."""

    def check_input(self, model: str, fields: Mapping[str, object]) -> None:
        """Raise `InputRefused` for a model or an input that the provider would certainly reject."""

    def open(self, settings: SettingsT, context: Context) -> Account | None:
        """Return our account; None when it is not configured."""

    def webhook(self, settings: SettingsT) -> Webhook[Any, Any, Any] | None:
        """Return how callbacks are verified; None when the provider sends none."""


MEMBERS = ("name", "settings", "missing", "models", "check_input", "open", "webhook")
ACCOUNT_MEMBERS = (
    "calls_back",
    "poll_interval",
    "give_up_after",
    "submission",
    "read_submission",
    "poll",
    "read_poll",
    "cancel",
    "read_cancel",
    "warning",
)
WEBHOOK_MEMBERS = ("keys", "proves_account", "open", "body_hash", "verify", "request_id", "parse", "receipt_headers")
"""The members of `Provider`, `Account` and `Webhook`, for the registry to check."""
