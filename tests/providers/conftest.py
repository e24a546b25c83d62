"""Captured answers as data files, and verdicts as one-line sentences to compare them with."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from ledger.records import Outcome
from providers.http import Ended, Missing, Refused, Response, ResultReady, Running, Submitted, TryLater, Unclear

SAMPLES = Path(__file__).parent / "samples"


@pytest.fixture(scope="session")
def samples() -> Path:
    return SAMPLES


@pytest.fixture(scope="session")
def sample() -> Callable[[str], Response]:
    def read(name: str) -> Response:
        told = msgspec.json.decode((SAMPLES / f"{name}.json").read_bytes())
        body = told["text"].encode() if "text" in told else msgspec.json.encode(told["body"])
        return Response(status=told["status"], headers=told["headers"], body=body)

    return read


@pytest.fixture(scope="session")
def judged() -> Callable[[str, dict[str, str]], None]:
    """Fail when a sample has no expectation, or an expectation no sample."""

    def check(prefix: str, table: dict[str, str]) -> None:
        folder, _, start = prefix.partition("/")
        there = {path.stem.removeprefix(start) for path in (SAMPLES / folder).glob(f"{start}*.json")}
        assert there == set(table)

    return check


@pytest.fixture(scope="session")
def say() -> Callable[[object], str]:
    return _say


def _say(verdict: object) -> str:
    match verdict:
        case Submitted(request_id=request_id):
            return f"submitted {request_id}"
        case Refused(error=error) | Unclear(error=error):
            return f"{type(verdict).__name__.lower()} {error.fault} {error.code}"
        case TryLater(error=error, retry_after=seconds):
            return f"later {error.fault} {error.code}" + _in(seconds)
        case Running(retry_after=seconds):
            return "running" + _in(seconds)
        case ResultReady() | Missing():
            return "ready" if isinstance(verdict, ResultReady) else "missing"
        case Ended(outcome=outcome):
            return _say_ending(outcome)
        case Outcome():
            return _say_ending(verdict)
    raise AssertionError(verdict)


def _in(seconds: float | None) -> str:
    return "" if seconds is None else f" {seconds:g}s"


def _say_ending(outcome: Outcome) -> str:
    words = [outcome.state.value]
    if outcome.outputs:
        words.append(str(len(outcome.outputs)))
    if outcome.error is not None:
        words += [outcome.error.fault, outcome.error.code] + ["retryable"] * outcome.error.retryable
    return " ".join(words)


@pytest.fixture(scope="session")
def answer_with() -> Callable[..., Response]:
    def build(body: object, status: int = 200, **headers: str) -> Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Response(status=status, headers=named, body=msgspec.json.encode(body))

    return build
