"""Where the time of a callback goes: the CPU that one costs up to each stage, and what each stage adds."""

from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.baselines.cut import STAGES
from tests.bench.ground import Ground
from tests.bench.load import burst
from tests.bench.places import Sink, receiver

ROUNDS = 3
SECONDS = 3


def measure(folder: Path, ground: Ground) -> dict[str, Any]:
    """Measure each stage in turn; medians, in microseconds of CPU, the kernel's among them."""
    costs: dict[str, list[float]] = {stage: [] for stage in STAGES}
    for number in range(ROUNDS):
        for stage in STAGES:
            costs[stage].append(_cost(folder / f"{stage}-{number}", ground, stage))
    up_to = {stage: median(each) for stage, each in costs.items()}
    adds = {stage: up_to[stage] - (up_to[before] if before else 0.0) for before, stage in _pairs()}
    return {
        "cpu_us_up_to": {stage: round(cost, 1) for stage, cost in up_to.items()},
        "cpu_us_added": {stage: round(cost, 1) for stage, cost in adds.items()},
    }


def _pairs() -> list[tuple[str | None, str]]:
    return list(zip((None, *STAGES), STAGES, strict=False))


def _cost(folder: Path, ground: Ground, stage: str) -> float:
    folder.mkdir(parents=True)
    sink = Sink(folder, ground, hold=True)
    server = receiver(folder, ground, sink, "tests.bench.baselines.cut", BENCH_STAGE=stage)
    try:
        return burst(server, ground, SECONDS, again=stage != "everything").cpu_us
    finally:
        server.child.kill()
        sink.child.kill()
