"""Captured responses as data files, and results as one-line sentences to compare them with."""

from pathlib import Path

import msgspec

from ledger.records import JobError, JobState, Outcome
from providers.http import (
    AccountRefused,
    AskNext,
    Ended,
    NotFound,
    PollResult,
    Refused,
    Response,
    RetryLater,
    Running,
    SubmitResult,
    Submitted,
    Unknown,
    Unreadable,
)

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> Response:
    """Read one captured response."""
    fields = msgspec.json.decode((SAMPLES / f"{name}.json").read_bytes())
    body = fields["text"].encode() if "text" in fields else msgspec.json.encode(fields["body"])
    return Response(status=fields["status"], headers=fields["headers"], body=body)


def names_of_samples(prefix: str) -> set[str]:
    """List the captured responses whose name begins with `prefix`, without it."""
    folder, _, start = prefix.partition("/")
    return {path.stem.removeprefix(start) for path in (SAMPLES / folder).glob(f"{start}*.json")}


def response_with(body: object, status: int = 200, **headers: str) -> Response:
    """Make a response with a JSON body; `_` in the names of headers stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(status=status, headers=named, body=msgspec.json.encode(body))


def describe(result: SubmitResult | PollResult) -> str:
    """Put a result into words."""
    match result:
        case Submitted(request_id=request_id):
            return f"submitted {request_id}"
        case Refused(error=error) | Unknown(error=error):
            return f"{type(result).__name__.lower()} {error.fault} {error.code}"
        case AccountRefused(error=error):
            return f"account refused {error.code}"
        case RetryLater(error=error, retry_after=seconds, limit=limit):
            return f"retry later {error.fault} {error.code}" + _seconds(seconds) + f", {limit} in all" * bool(limit)
        case Unreadable(error=error, ended=ended, retry_after=seconds):
            return f"unreadable {error.fault} {error.code}" + " ended" * ended + _seconds(seconds)
        case Running(retry_after=seconds):
            return "running" + _seconds(seconds)
        case AskNext():
            return "ask next"
        case NotFound():
            return "not found"
        case Ended(outcome=outcome):
            return describe_outcome(outcome)


def describe_outcome(outcome: Outcome) -> str:
    """Put an outcome into words."""
    words = [outcome.state.value]
    if outcome.outputs:
        words.append(str(len(outcome.outputs)))
    if outcome.error is not None:
        words += [outcome.error.fault, outcome.error.code] + ["retryable"] * outcome.error.retryable
    return " ".join(words)


def outcome_of(result: PollResult) -> Outcome:
    """Return the outcome of a result that has one."""
    assert isinstance(result, Ended)
    return result.outcome


def error_of(result: SubmitResult | PollResult) -> JobError:
    """Return the error of a result that has one."""
    error = result.outcome.error if isinstance(result, Ended) else getattr(result, "error", None)
    assert isinstance(error, JobError)
    return error


def failed(result: PollResult) -> bool:
    """Return whether a result ends the job as failed."""
    return isinstance(result, Ended) and result.outcome.state is JobState.FAILED


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f" {seconds:g}s"
