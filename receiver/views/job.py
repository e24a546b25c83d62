"""Jobs as JSON: in `GET /v1/jobs/{id}`, in lists and in notifications."""

import msgspec

from ledger.records import JobError, JobState, Output, Source
from ledger.rows import Event, Job
from receiver.views.times import rfc3339, rfc3339_or_none


class OutputView(msgspec.Struct, frozen=True, kw_only=True):
    """One file that a job made. Sizes are bytes and pixels."""

    id: str
    url: str
    content_type: str | None
    file_name: str | None
    file_size: int | None
    width: int | None
    height: int | None


class JobView(msgspec.Struct, frozen=True, kw_only=True):
    """A job. Times are RFC 3339 UTC; `input` is what the user sent, byte for byte."""

    id: str
    provider: str
    model: str
    state: JobState
    input: msgspec.Raw
    metadata: msgspec.Raw
    provider_request_id: str | None
    created_at: str
    submitted_at: str | None
    finalized_at: str | None
    source: Source | None
    outputs: tuple[OutputView, ...]
    processing_time_ms: int | None
    warning: str | None
    error: JobError | None


def view_job(job: Job) -> JobView:
    """Show `job` as it is now."""
    return JobView(
        id=job.id,
        provider=job.provider,
        model=job.model,
        state=job.state,
        input=msgspec.Raw(job.input.encode()),
        metadata=msgspec.Raw(job.metadata.encode()),
        provider_request_id=job.provider_request_id,
        created_at=rfc3339(job.created_at),
        submitted_at=rfc3339_or_none(job.submitted_at),
        finalized_at=rfc3339_or_none(job.finalized_at),
        source=job.source,
        outputs=tuple(_view_output(job.id, position, output) for position, output in enumerate(job.outputs, start=1)),
        processing_time_ms=job.processing_time_ms,
        warning=job.warning,
        error=job.error,
    )


_STATE_AT = {f"job.{state}": state for state in JobState}
"""The state of a job at an event of this type."""

_NOT_CONFIRMED = {JobState.WAITING, JobState.ACCEPTED, JobState.SUBMITTING, JobState.UNCONFIRMED}


def view_job_at(job: Job, event: Event) -> JobView:
    """Show `job` as it was at `event`: a late `job.submitted` does not show the outcome."""
    state = _STATE_AT.get(event.type, JobState.SUBMITTED)  # other events happen while the provider has it
    view = view_job(job)
    if state.is_terminal:
        return view
    if state in _NOT_CONFIRMED:
        view = msgspec.structs.replace(view, provider_request_id=None, submitted_at=None)
    return msgspec.structs.replace(
        view,
        state=state,
        finalized_at=None,
        source=None,
        outputs=(),
        processing_time_ms=None,
        warning=None,
        error=None,
    )


def _view_output(job_id: str, position: int, output: Output) -> OutputView:
    return OutputView(id=f"{job_id}.{position}", **msgspec.structs.asdict(output))
