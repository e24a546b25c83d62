"""The time from a callback to its notification, both observed on the load's core."""

from pathlib import Path
from typing import Any

from tests.bench.dataset import Dataset
from tests.bench.generator import percentile
from tests.bench.load import generate
from tests.bench.processes import EndpointProcess, receiver
from tests.process.children import until

RATE = 300
SECONDS = 20


def measure(folder: Path, dataset: Dataset, *, seconds: int = SECONDS) -> dict[str, Any]:
    """Send callbacks at a rate, and measure how long after each its notification comes."""
    folder.mkdir(parents=True)
    endpoint = EndpointProcess(folder, dataset)
    server = receiver(folder, dataset, endpoint)
    try:
        before = server.cpu_seconds
        load = generate(server, dataset, seconds=seconds, rate=RATE)
        until("every notification has come", lambda: endpoint.count() >= len(load["acknowledged"]), 20)
        cpu = server.cpu_seconds - before
        arrived = {job: at for job, event, at in endpoint.received() if event == "job.completed"}
    finally:
        server.child.kill()
        endpoint.child.kill()
    sent: dict[str, float] = load["sent"]
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
