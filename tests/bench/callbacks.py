"""Callbacks a second: the receiver and the baselines in turns, so that a slow minute affects all of them."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.dataset import Dataset
from tests.bench.load import LoadResult, burst, steady
from tests.bench.processes import EndpointProcess, Server, baseline, receiver

ROUNDS = 3
SECONDS = 5
STEADY_SECONDS = 10

Start = Callable[[Path, Dataset, EndpointProcess], Server]

RUNNERS: dict[str, Start] = {
    "bare": lambda folder, dataset, _: baseline(folder, dataset, "bare"),
    "verify only": lambda folder, dataset, _: baseline(folder, dataset, "verify_only"),
    "sample": lambda folder, dataset, _: baseline(folder, dataset, "sample"),
    "sample, WAL": lambda folder, dataset, _: baseline(folder, dataset, "sample", BENCH_JOURNAL="WAL"),
    "commit each": lambda folder, dataset, endpoint: receiver(
        folder, dataset, endpoint, "tests.bench.baselines.commit_each"
    ),
    "receiver": receiver,
}
STORES_NOTHING = {"bare", "verify only"}


def measure(folder: Path, dataset: Dataset, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Measure each in turn, `rounds` times, and take the medians. The endpoint does not respond."""
    runs: dict[str, list[LoadResult]] = {name: [] for name in RUNNERS}
    for number in range(rounds):
        for name in RUNNERS:
            runs[name].append(one(folder / f"{name}-{number}", dataset, name))
    rates = {name: median(run.per_second for run in each) for name, each in runs.items()}
    half = at_half_load(folder / "half", dataset, rates["receiver"] / 2)
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


def one(folder: Path, dataset: Dataset, name: str) -> LoadResult:
    """Measure one of them under load."""
    folder.mkdir(parents=True)
    endpoint = EndpointProcess(folder, dataset, hold=True)
    server = RUNNERS[name](folder, dataset, endpoint)
    try:
        return burst(server, dataset, SECONDS, again=name in STORES_NOTHING)
    finally:
        server.child.kill()
        endpoint.child.kill()


def at_half_load(folder: Path, dataset: Dataset, rate: float) -> dict[str, Any]:
    """Measure the latency of callbacks at a rate, with an endpoint that does not respond and with one that does."""
    found: dict[str, Any] = {"rate": round(rate)}
    for name, hold in (("", True), ("_while_delivering", False)):
        place = folder / f"half{name}"
        place.mkdir(parents=True)
        endpoint = EndpointProcess(place, dataset, hold=hold)
        server = receiver(place, dataset, endpoint)
        try:
            answered = steady(server, dataset, STEADY_SECONDS, rate)
        finally:
            server.child.kill()
            endpoint.child.kill()
        found |= {f"p50_ms{name}": answered.p50_ms, f"p99_ms{name}": answered.p99_ms, f"faults{name}": answered.faults}
    return found
