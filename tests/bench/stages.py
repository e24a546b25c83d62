"""The CPU of a callback up to each stage of its handling, and what each stage adds."""

from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.baselines.partial import STAGES
from tests.bench.dataset import Dataset
from tests.bench.load import burst
from tests.bench.processes import EndpointProcess, receiver

ROUNDS = 3
SECONDS = 3


def measure(folder: Path, dataset: Dataset) -> dict[str, Any]:
    """Measure each stage in turn; medians, in microseconds of CPU including the kernel's."""
    costs: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for number in range(ROUNDS):
        for stage in STAGES:
            costs[stage].append(_cost(folder / f"{stage}-{number}", dataset, stage))
    up_to = {stage: median(each) for stage, each in costs.items()}
    adds = {stage: up_to[stage] - (up_to[before] if before else 0.0) for before, stage in _pairs()}
    return {
        "cpu_us_up_to": {stage: round(cost, 1) for stage, cost in up_to.items()},
        "cpu_us_added": {stage: round(cost, 1) for stage, cost in adds.items()},
    }


def _pairs() -> list[tuple[str | None, str]]:
    return list(zip((None, *STAGES), STAGES, strict=False))


def _cost(folder: Path, dataset: Dataset, stage: str) -> float:
    folder.mkdir(parents=True)
    endpoint = EndpointProcess(folder, dataset, hold=True)
    server = receiver(folder, dataset, endpoint, "tests.bench.baselines.partial", BENCH_STAGE=stage)
    try:
        return burst(server, dataset, SECONDS, again=stage != "everything").cpu_us
    finally:
        server.child.kill()
        endpoint.child.kill()
