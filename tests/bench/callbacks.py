"""Callbacks a second: the receiver beside the baselines, in turns, so that a slow minute is everybody's."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.ground import Ground
from tests.bench.load import Answered, burst, steady
from tests.bench.places import Server, Sink, baseline, receiver

ROUNDS = 3
SECONDS = 5
STEADY_SECONDS = 10

Start = Callable[[Path, Ground, Sink], Server]

RUNNERS: dict[str, Start] = {
    "bare": lambda folder, ground, _: baseline(folder, ground, "bare"),
    "verify only": lambda folder, ground, _: baseline(folder, ground, "verify_only"),
    "sample": lambda folder, ground, _: baseline(folder, ground, "sample"),
    "sample, WAL": lambda folder, ground, _: baseline(folder, ground, "sample", BENCH_JOURNAL="WAL"),
    "commit each": lambda folder, ground, sink: receiver(folder, ground, sink, "tests.bench.baselines.commit_each"),
    "receiver": receiver,
}
STORES_NOTHING = {"bare", "verify only"}


def measure(folder: Path, ground: Ground, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure each in turn, `rounds` times, and take the medians. The endpoint is told, and does not answer."""
    runs: dict[str, list[Answered]] = {name: [] for name in RUNNERS}
    for number in range(rounds):
        for name in RUNNERS:
            runs[name].append(one(folder / f"{name}-{number}", ground, name))
    rates = {name: median(run.per_second for run in each) for name, each in runs.items()}
    half = at_half_load(folder / "half", ground, rates["receiver"] / 2)
    return {
        "per_second": {name: round(rate) for name, rate in rates.items()},
        "cpu_us": {name: round(median(run.cpu_us for run in each), 1) for name, each in runs.items()},
        "p99_ms": {name: median(run.p99_ms for run in each) for name, each in runs.items()},
        "faults": {name: sum(run.faults for run in each) for name, each in runs.items()},
        "ratio_to_bare": rates["receiver"] / rates["bare"],
        "ratio_to_verify_only": rates["receiver"] / rates["verify only"],
        "ratio_to_sample": rates["receiver"] / rates["sample"],
        "ratio_to_sample_wal": rates["receiver"] / rates["sample, WAL"],
        "ratio_to_commit_each": rates["receiver"] / rates["commit each"],
        "half_load": half,
    }


def one(folder: Path, ground: Ground, name: str) -> Answered:
    """Put one of them under load."""
    folder.mkdir(parents=True)
    sink = Sink(folder, ground, hold=True)
    server = RUNNERS[name](folder, ground, sink)
    try:
        return burst(server, ground, SECONDS, again=name in STORES_NOTHING)
    finally:
        server.child.kill()
        sink.child.kill()


def at_half_load(folder: Path, ground: Ground, rate: float) -> dict[str, Any]:
    """Say how long callbacks take at a rate, with nobody told, and with an endpoint that answers at once."""
    found: dict[str, Any] = {"rate": round(rate)}
    for name, hold in (("", True), ("_while_telling", False)):
        place = folder / f"half{name}"
        place.mkdir(parents=True)
        sink = Sink(place, ground, hold=hold)
        server = receiver(place, ground, sink)
        try:
            answered = steady(server, ground, STEADY_SECONDS, rate)
        finally:
            server.child.kill()
            sink.child.kill()
        found |= {f"p50_ms{name}": answered.p50_ms, f"p99_ms{name}": answered.p99_ms, f"faults{name}": answered.faults}
    return found
