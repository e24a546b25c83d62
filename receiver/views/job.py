"""How a job reads to the outside: the one JSON shape of `GET /v1/jobs/{id}`, of listings and of notifications."""

from datetime import UTC, datetime

import msgspec

from ledger.records import JobState
from ledger.rows import Event, Job, Receipt


def view_job(job: Job) -> dict[str, object]:
    """Show `job` as it stands. Times are RFC 3339 UTC, sizes bytes."""
    return {
        "id": job.id,
        "provider": job.provider,
        "model": job.model,
        "state": job.state.value,
        "input": msgspec.Raw(job.input.encode()),
        "metadata": msgspec.Raw(job.metadata.encode()),
        "provider_request_id": job.provider_request_id,
        "created_at": rfc3339(job.created_at),
        "submitted_at": _maybe(job.submitted_at),
        "finalized_at": _maybe(job.finalized_at),
        "source": job.source,
        "outputs": [
            {"id": f"{job.id}.{position}"} | msgspec.structs.asdict(output)
            for position, output in enumerate(job.outputs, start=1)
        ],
        "processing_time_ms": job.processing_time_ms,
        "warning": job.warning,
        "error": job.error,
    }


def view_job_at(job: Job, event: Event) -> dict[str, object]:
    """Show `job` as it stood at `event`, whatever happened since: a late `job.submitted` must not tell of the end."""
    if event.type != "job.submitted":
        return view_job(job)
    then = msgspec.structs.replace(
        job,
        state=JobState.SUBMITTED,
        finalized_at=None,
        source=None,
        outputs=(),
        processing_time_ms=None,
        warning=None,
        error=None,
    )
    return view_job(then)


def view_event(event: Event) -> dict[str, object]:
    """Show one event of a job's history."""
    return {"sequence": event.sequence, "type": event.type, "timestamp": rfc3339(event.at)}


def view_receipt(receipt: Receipt) -> dict[str, object]:
    """Show one verified report. `headers` are the signed ones; `body` is the report as it came, as text."""
    return {
        "id": receipt.id,
        "source": receipt.source,
        "provider_request_id": receipt.request_id,
        "result": receipt.result,
        "received_at": rfc3339(receipt.received_at),
        "headers": msgspec.Raw(receipt.headers.encode()),
        "body": receipt.body.decode("utf-8", "replace"),
    }


def rfc3339(at: int) -> str:
    """Write a time in ms as RFC 3339 UTC with milliseconds."""
    return datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _maybe(at: int | None) -> str | None:
    return None if at is None else rfc3339(at)
