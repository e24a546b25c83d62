"""The event of a job that ended, whatever reported its outcome."""

from collections.abc import Mapping

from ledger.records import JobState, Outcome
from telemetry.emit import Emit

_EVENTS: Mapping[JobState, str] = {
    JobState.COMPLETED: "job.completed",
    JobState.FAILED: "job.failed",
    JobState.CANCELED: "job.canceled",
    JobState.EXPIRED: "job.expired",
}


def emit_ending(emit: Emit, outcome: Outcome, *, job: str, provider: str, **fields: object) -> None:
    """Emit that a job ended with `outcome`, which is committed, with the fault, code and message of its error."""
    error = outcome.error
    if error is not None:
        fields |= {"fault": error.fault, "code": error.code, "message": error.message}
    emit(_EVENTS[outcome.state], job=job, provider=provider, **fields)
