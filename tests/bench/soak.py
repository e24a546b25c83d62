"""Half the load that a receiver can sustain, for a long time: memory should stay flat."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.dataset import make_dataset
from tests.bench.processes import LOAD_CORE, EndpointProcess, pinned, receiver
from tests.process.children import ROOT

POLL_SECONDS = 2
SETTLING = 0.2
"""The share of the time that memory has to settle."""


def measure(folder: Path, seconds: float, rate: float) -> dict[str, Any]:
    """Send callbacks at a rate while notifications are delivered, and sample the memory."""
    folder.mkdir(parents=True)
    dataset = make_dataset(folder / "dataset", open_jobs=int(rate * seconds) + 1000)
    endpoint = EndpointProcess(folder, dataset, count_only=True)
    server = receiver(folder, dataset, endpoint)
    words = [sys.executable, "-m", "tests.bench.generator", str(dataset.folder), server.url, "--seconds", str(seconds)]
    words += ["--rate", str(rate), "--out", str(folder / "generated.json")]
    samples: list[float] = []
    try:
        before = server.cpu_seconds
        load = subprocess.Popen(pinned(LOAD_CORE, words), cwd=ROOT)
        while load.poll() is None:
            samples.append(server.memory_mb)
            time.sleep(POLL_SECONDS)  # the soak itself
        cpu = server.cpu_seconds - before
        notified = endpoint.count()
    finally:
        server.child.kill()
        endpoint.child.kill()
    assert load.returncode == 0
    settled = samples[int(SETTLING * len(samples)) :]
    half = len(settled) // 2
    return {
        "rate": round(rate),
        "seconds": round(seconds),
        "callbacks": round(rate * seconds),
        "notified": notified,
        "highest_mb": round(max(samples), 1),
        "settled_mb": round(sum(settled[:half]) / half, 1),
        "at_the_end_mb": round(sum(settled[half:]) / (len(settled) - half), 1),
        "cpu_percent": round(100 * cpu / seconds, 1),
    }
