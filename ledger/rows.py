"""Rows of the reading statements as frozen values."""

from collections.abc import Iterator
from itertools import groupby
from typing import Self

import msgspec

from ledger.records import Fault, JobError, JobState, Output, Source
from ledger.storage.transaction import Row, Rows


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as it is now. `input` and `metadata` are JSON text.

    The data: URIs of `input` are shortened, except in a job that is claimed for its submission.
    """

    id: str
    provider: str
    model: str
    state: JobState
    input: str
    metadata: str
    provider_request_id: str | None
    status_url: str | None
    response_url: str | None
    cancel_url: str | None
    submissions: int
    server_errors: int
    claimed_until: int | None
    unconfirmed_at: int | None
    created_at: int
    submitted_at: int | None
    finalized_at: int | None
    source: Source | None
    processing_time_ms: int | None
    warning: str | None
    error: JobError | None
    last_transition: str
    outputs: tuple[Output, ...]

    @classmethod
    def from_rows(cls, rows: Rows) -> Self:
        """Make a job of its rows, one for each output."""
        outputs = [row for row in rows if row["position"] is not None]
        input_ = rows[0].get("whole_input") or rows[0]["input"]
        return msgspec.convert(rows[0] | {"input": input_, "error": _error(rows[0]), "outputs": outputs}, cls)


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a subject. `at` is ms; `data` is JSON text, or None."""

    subject: str
    sequence: int
    type: str
    at: int
    data: str | None = None


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One verified callback, or one poll that ended a job, byte for byte, and the result of recording it."""

    id: str
    job_id: str
    provider: str
    source: Source
    request_id: str | None
    result: str
    headers: str
    body: bytes
    received_at: int


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One event for one endpoint. Its id is the `webhook-id` of every attempt; `due_at` is when the next one is due."""

    id: str
    subject: str
    sequence: int
    endpoint_id: str
    state: str
    attempts: int
    created_at: int
    due_at: int | None
    finalized_at: int | None
    reason: str | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One POST of a delivery. `status` is None when no response was read; `response` is its first 2,048 bytes."""

    number: int
    at: int
    status: int | None
    latency_ms: int
    error: str | None
    response: bytes | None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where deliveries go, and how. None means the default: NOTIFY_SECRET, the default schedule and limits.

    `secrets` are newest first; `schedule` is the seconds before the first, second … attempt; `timeout_ms` bounds one.
    """

    id: str
    url: str
    secrets: tuple[bytes, ...] | None
    schedule: tuple[int, ...] | None
    max_concurrency: int | None
    rate_per_second: int | None
    timeout_ms: int | None
    disabled_reason: str | None
    removed_at: int | None

    @classmethod
    def from_row(cls, row: Row) -> Self:
        """Make an endpoint of the row of a due delivery. Lists are JSON text, and secrets base64 in it."""
        lists = {name: row[name] and msgspec.json.decode(row[name]) for name in ("secrets", "schedule")}
        return msgspec.convert(row | lists | {"id": row["endpoint_id"], "url": row["endpoint_url"]}, cls)


class EndpointRow(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint, as far as its deliveries are about it. `removed_at` (ms) is set when it was removed on purpose."""

    id: str
    url: str
    removed_at: int | None


class DueDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one attempt needs. `job` is None if the subject is not a job, or a job that is `large`."""

    delivery_id: str
    attempts: int
    failures: int
    endpoint: Endpoint
    event: Event
    subject_kind: str
    job: Job | None
    large: bool = False

    @classmethod
    def from_rows(cls, rows: Rows) -> Self:
        """Make a due delivery of its rows, one for each output of its job."""
        row = rows[0]
        large = row["id"] is not None and row["input"] is None
        return cls(
            delivery_id=row["delivery_id"],
            attempts=row["attempts"],
            failures=row["failures"],
            endpoint=Endpoint.from_row(row),
            event=msgspec.convert(row | {"type": row["event_type"], "at": row["event_at"]}, Event),
            subject_kind=row["subject_kind"],
            job=None if row["id"] is None or large else Job.from_rows(rows),
            large=large,
        )


def due_deliveries_from_rows(rows: Rows) -> Iterator[DueDelivery]:
    """Yield the due deliveries of rows that are sorted by delivery."""
    for _, group in groupby(rows, key=lambda row: row["delivery_id"]):
        yield DueDelivery.from_rows(list(group))


def jobs_from_rows(rows: Rows) -> Iterator[Job]:
    """Yield the jobs of rows that are sorted by job."""
    for _, group in groupby(rows, key=lambda row: row["id"]):
        yield Job.from_rows(list(group))


def _error(row: Row) -> JobError | None:
    if row["error_fault"] is None:
        return None
    return JobError(
        fault=Fault(row["error_fault"]),
        code=row["error_code"],
        message=row["error_message"],
        retryable=bool(row["error_retryable"]),
    )
