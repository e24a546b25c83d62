"""From callback to notification, on the wire: sent by one process, seen by another, both on the load's core."""

from pathlib import Path
from typing import Any

from tests.bench.generator import percentile
from tests.bench.ground import Ground
from tests.bench.load import generate
from tests.bench.places import Sink, receiver
from tests.process.children import until

RATE = 300
SECONDS = 20


def measure(folder: Path, ground: Ground, *, seconds: int = SECONDS) -> dict[str, Any]:
    """Send callbacks at a rate, and say how long after each its notification came."""
    folder.mkdir(parents=True)
    sink = Sink(folder, ground)
    server = receiver(folder, ground, sink)
    try:
        before = server.cpu_seconds
        told = generate(server, ground, seconds=seconds, rate=RATE)
        until("everybody was told", lambda: sink.count() >= len(told["acknowledged"]), 20)
        cpu = server.cpu_seconds - before
        arrived = {job: at for job, event, at in sink.told() if event == "job.completed"}
    finally:
        server.child.kill()
        sink.child.kill()
    sent: dict[str, float] = told["sent"]
    waits = sorted(at - sent[job] for job, at in arrived.items())
    return {
        "rate": RATE,
        "callbacks": len(sent),
        "notified": len(waits),
        "p50_ms": percentile(waits, 0.5),
        "p99_ms": percentile(waits, 0.99),
        "longest_ms": percentile(waits, 1.0),
        "cpu_us": round(1e6 * cpu / max(1, len(waits)), 1),
    }
