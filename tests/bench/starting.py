"""From exec to the first 200, and what a receiver uses when nothing is due."""

import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.ground import Ground
from tests.bench.places import Sink, receiver

STARTS = 5
IDLE_SECONDS = 20


def measure(folder: Path, grounds: dict[str, Ground]) -> dict[str, Any]:
    """Start on each ground several times, and then leave one alone."""
    found: dict[str, Any] = {}
    for name, ground in grounds.items():
        taken = []
        for number in range(STARTS):
            place = folder / f"{name}-{number}"
            place.mkdir(parents=True)
            sink = Sink(place, ground)
            server = receiver(place, ground, sink)
            taken.append(server.answered_after)
            if number == STARTS - 1:
                time.sleep(1)  # whatever a start leaves to be done is done
                before = server.cpu_seconds
                time.sleep(IDLE_SECONDS)  # idleness is what is measured
                found[f"idle_cpu_percent_{name}"] = round(100 * (server.cpu_seconds - before) / IDLE_SECONDS, 2)
                found[f"memory_mb_{name}"] = round(server.memory_mb, 1)
            server.child.kill()
            sink.child.kill()
            (place / "ledger.db").unlink()
        found[f"first_200_seconds_{name}"] = round(median(taken), 3)
        found[f"slowest_first_200_seconds_{name}"] = round(max(taken), 3)
    return found
