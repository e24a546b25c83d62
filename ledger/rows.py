"""Rows as values: what the reading statements return, frozen."""

from collections.abc import Iterator
from itertools import groupby
from typing import Self

import msgspec

from ledger.records import Fault, JobError, JobState, Output, Source
from ledger.storage.transaction import Row, Rows


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """One request to one provider, as it stands. `input` and `metadata` are JSON text, as the user sent them."""

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
        """Make a job of the rows of one job, one for each output."""
        row = rows[0]
        return cls(
            id=row["id"],
            provider=row["provider"],
            model=row["model"],
            state=JobState(row["state"]),
            input=row["input"],
            metadata=row["metadata"],
            provider_request_id=row["provider_request_id"],
            status_url=row["status_url"],
            response_url=row["response_url"],
            cancel_url=row["cancel_url"],
            submissions=row["submissions"],
            claimed_until=row["claimed_until"],
            unconfirmed_at=row["unconfirmed_at"],
            created_at=row["created_at"],
            submitted_at=row["submitted_at"],
            finalized_at=row["finalized_at"],
            source=row["source"],
            processing_time_ms=row["processing_time_ms"],
            warning=row["warning"],
            error=_error(row),
            last_transition=row["last_transition"],
            outputs=tuple(_output(each) for each in rows if each["position"] is not None),
        )


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One move of a job: its number within the job, its name, and when."""

    job_id: str
    sequence: int
    type: str
    at: int


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """One verified callback, or one poll that ended a job, byte for byte, and what came of it."""

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
    """One event for one endpoint. Its id is the `webhook-id` of every attempt."""

    id: str
    job_id: str
    sequence: int
    endpoint_id: str
    state: str
    attempts: int
    created_at: int
    finalized_at: int | None
    reason: str | None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One POST of a delivery. `status` is None when no answer was read; `response` is its first 2,048 bytes."""

    number: int
    at: int
    status: int | None
    latency_ms: int
    error: str | None
    response: bytes | None


class DueDelivery(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one POST of a delivery needs."""

    delivery_id: str
    attempts: int
    failures: int
    endpoint_id: str
    endpoint_url: str
    disabled_reason: str | None
    removed_at: int | None
    event: Event
    job: Job

    @classmethod
    def from_rows(cls, rows: Rows) -> Self:
        """Make a letter of the rows of one delivery, one for each output of its job."""
        row = rows[0]
        return cls(
            delivery_id=row["delivery_id"],
            attempts=row["attempts"],
            failures=row["failures"],
            endpoint_id=row["endpoint_id"],
            endpoint_url=row["endpoint_url"],
            disabled_reason=row["disabled_reason"],
            removed_at=row["removed_at"],
            event=Event(job_id=row["id"], sequence=row["sequence"], type=row["event_type"], at=row["event_at"]),
            job=Job.from_rows(rows),
        )


def due_deliveries_from_rows(rows: Rows) -> Iterator[DueDelivery]:
    """Yield the letters of a reading, whose rows are sorted by delivery."""
    for _, group in groupby(rows, key=lambda row: row["delivery_id"]):
        yield DueDelivery.from_rows(list(group))


def jobs_from_rows(rows: Rows) -> Iterator[Job]:
    """Yield the jobs of a listing, whose rows are sorted by job."""
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


def _output(row: Row) -> Output:
    return Output(
        url=row["url"],
        content_type=row["content_type"],
        file_name=row["file_name"],
        file_size=row["file_size"],
        width=row["width"],
        height=row["height"],
    )
