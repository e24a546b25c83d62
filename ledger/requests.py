"""What the methods of the ledger take and return, frozen. Times are milliseconds since the epoch, UTC."""

from typing import Literal

import msgspec

from ledger.canonical import digest
from ledger.records import Fault, JobError, Outcome, Source
from ledger.rows import Delivery, Job

AFTER_ALL_IDENTIFIERS = "~"
"""Sorts after every identifier: the cursor of a first page."""

Kind = Literal["submit", "poll", "deliver"]
"""A kind of work. The subject of `submit` and `poll` is a job, that of `deliver` an endpoint."""

UNSIGNED = "NOTIFY_SECRET is not set"
"""Why an endpoint is paused that has no secrets of its own."""

HELD = "account_refused"
"""The code of the error of an accepted job that waits because its provider refuses our account."""

CLAIM_ENDED = JobError(
    fault=Fault.RENDERHOOK,
    code="claim_ended",
    message="it is unknown whether the provider runs this job: the worker that claimed it stopped before it recorded a "
    "response",
)
"""Why a job is unconfirmed whose claim ended."""

ALWAYS = 1 << 62
"""After all times: the end of a filter without `until`."""

DeliveryState = Literal["pending", "delivered", "dead", "discarded"]

RESTORED = JobError(
    fault=Fault.RENDERHOOK,
    code="restored",
    message="it is unknown whether the provider runs this job: the database was restored from a backup that was made "
    "before it was submitted, or before its response was recorded",
)
"""Why a job is unconfirmed that was not submitted yet in a restored backup."""

Ending = Literal["delivered", "dead", "discarded"]
"""How a delivery ends."""


class NewJob(msgspec.Struct, frozen=True, kw_only=True):
    """A job to accept. `input` and `metadata` are JSON text; `notify` are URLs besides the settings' own.

    `short_input` is what lists and notifications show of an input with data: URIs; None for one without.
    """

    provider: str
    model: str
    input: str
    short_input: str | None = None
    metadata: str = "{}"
    notify: tuple[str, ...] = ()
    idempotency_key: str | None = None

    @property
    def digest(self) -> str:
        """Identify the request: a repeated one under the same Idempotency-Key is equal, however its JSON is written."""
        return digest([self.provider, self.model, *sorted(self.notify)], [self.input, self.metadata])


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a request to accept a job: a new one, the same again, or a key used for something else."""

    job_id: str
    new: bool
    same_request: bool


class DeliveryFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries: those that match every condition given. `since` (ms) is part of the time, `until` is not."""

    state: DeliveryState | None = None
    subject: str | None = None
    endpoint_id: str | None = None
    since: int = 0
    until: int = ALWAYS

    def matches(self, delivery: Delivery) -> bool:
        """Return whether a delivery matches."""
        return (
            self.state in {None, delivery.state}
            and self.subject in {None, delivery.subject}
            and self.endpoint_id in {None, delivery.endpoint_id}
            and self.since <= delivery.created_at < self.until
        )


class DeliveryPage(msgspec.Struct, frozen=True, kw_only=True):
    """Deliveries, and where the next page begins; None if there is none. A page may be empty and not the last."""

    deliveries: tuple[Delivery, ...]
    next_cursor: str | None = None


class ClaimResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker may do with a job: submit it, if `claim` is set; otherwise `job` says why not.

    `lost` says that this call made the job `unconfirmed`: the claim before had ended.
    """

    lost: bool = False
    claim: str | None
    job: Job | None


class ProviderRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Where the provider keeps a request: its id, and the URLs it said to follow."""

    request_id: str
    status_url: str | None = None
    response_url: str | None = None
    cancel_url: str | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider said about a job, verified, as the bytes it came in.

    `outcome` is None when the report is believed but the outcome has to be fetched. `request_id` is None when it does
    not name its request. `headers` is JSON text. `receipt` is the id of its receipt, where its outcome names it. `ours`
    is False when it may be about another account: only a request id that is known of the job settles it then.
    """

    job_id: str
    provider: str
    source: Source
    request_id: str | None
    outcome: Outcome | None
    headers: str
    body: bytes
    receipt: str | None = None
    ours: bool = True


class Attempted(msgspec.Struct, frozen=True, kw_only=True):
    """One POST as it went. Times are ms; `status` is None when no answer was read; `response` is cut to 2,048 bytes."""

    at: int
    latency_ms: int
    status: int | None
    error: str | None
    response: bytes | None


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do, leased. `tries` counts the failures in a row, not the waits."""

    kind: Kind
    subject: str
    lease: str
    tries: int

    @property
    def values(self) -> dict[str, object]:
        """The values that a statement repeats so that it acts only while the lease holds."""
        return {"kind": self.kind, "subject": self.subject, "lease": self.lease}
