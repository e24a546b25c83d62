"""The time from exec to the first 200, and the CPU and memory of an idle receiver."""

import time
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.dataset import Dataset
from tests.bench.processes import EndpointProcess, receiver

STARTS = 5
IDLE_SECONDS = 20


def measure(folder: Path, datasets: dict[str, Dataset]) -> dict[str, Any]:
    """Start a receiver on each dataset several times, and leave the last one idle."""
    found: dict[str, Any] = {}
    for name, dataset in datasets.items():
        taken = []
        for number in range(STARTS):
            place = folder / f"{name}-{number}"
            place.mkdir(parents=True)
            endpoint = EndpointProcess(place, dataset)
            server = receiver(place, dataset, endpoint)
            taken.append(server.answered_after)
            if number == STARTS - 1:
                time.sleep(1)  # the work of the start is done
                before = server.cpu_seconds
                time.sleep(IDLE_SECONDS)  # idleness is what is measured
                found[f"idle_cpu_percent_{name}"] = round(100 * (server.cpu_seconds - before) / IDLE_SECONDS, 2)
                found[f"memory_mb_{name}"] = round(server.memory_mb, 1)
            server.child.kill()
            endpoint.child.kill()
            (place / "ledger.db").unlink()
        found[f"first_200_seconds_{name}"] = round(median(taken), 3)
        found[f"slowest_first_200_seconds_{name}"] = round(max(taken), 3)
    return found
