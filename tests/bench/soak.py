"""Half of what it can take and tell, for a long time: does memory stay where it was?"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.ground import lay
from tests.bench.places import LOAD_CORE, Sink, pinned, receiver
from tests.process.children import ROOT

LOOK_SECONDS = 2
SETTLING = 0.2
"""The share of the time after which memory is held to be what it will be."""


def measure(folder: Path, seconds: float, rate: float) -> dict[str, Any]:
    """Send callbacks at a rate while everybody is told, and look at the memory."""
    folder.mkdir(parents=True)
    ground = lay(folder / "ground", open_jobs=int(rate * seconds) + 1000)
    sink = Sink(folder, ground, count_only=True)
    server = receiver(folder, ground, sink)
    words = [sys.executable, "-m", "tests.bench.generator", str(ground.folder), server.url, "--seconds", str(seconds)]
    words += ["--rate", str(rate), "--out", str(folder / "generated.json")]
    looks: list[float] = []
    try:
        before = server.cpu_seconds
        load = subprocess.Popen(pinned(LOAD_CORE, words), cwd=ROOT)
        while load.poll() is None:
            looks.append(server.memory_mb)
            time.sleep(LOOK_SECONDS)  # the soak itself
        cpu = server.cpu_seconds - before
        told = sink.count()
    finally:
        server.child.kill()
        sink.child.kill()
    assert load.returncode == 0
    settled = looks[int(SETTLING * len(looks)) :]
    half = len(settled) // 2
    return {
        "rate": round(rate),
        "seconds": round(seconds),
        "callbacks": round(rate * seconds),
        "notified": told,
        "highest_mb": round(max(looks), 1),
        "settled_mb": round(sum(settled[:half]) / half, 1),
        "at_the_end_mb": round(sum(settled[half:]) / (len(settled) - half), 1),
        "cpu_percent": round(100 * cpu / seconds, 1),
    }
