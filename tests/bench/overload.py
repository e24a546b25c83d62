"""Ten seconds of overload: what is refused, what is recorded, and how soon the receiver is ready again.

wrk sends as much as it can over three times MAX_CONNECTIONS connections; our own generator calls back meanwhile and
keeps the id of each acknowledged job. Without wrk a second generator takes its place.
"""

import threading
import time
from pathlib import Path
from typing import Any

import httpx

from tests.bench.dataset import Dataset
from tests.bench.load import burst, generate
from tests.bench.processes import EndpointProcess, Server, receiver
from tests.process.children import until
from tests.process.sqlite_reader import read

SECONDS = 10
CONNECTIONS = 3000
NAMED_RATE = 300
NAMED_CONNECTIONS = 300
READY_SECONDS = 0.1
"""The longest response time of a receiver that has recovered."""


def measure(folder: Path, dataset: Dataset, replayed: int) -> dict[str, Any]:
    """Overload a receiver, and compare what it acknowledged with its database. wrk has the first `replayed`."""
    folder.mkdir(parents=True)
    endpoint = EndpointProcess(folder, dataset, hold=True)
    server = receiver(folder, dataset, endpoint)
    peak, tracked = _Peak(server), _Tracked(server, dataset, replayed)
    try:
        idle_mb = server.memory_mb
        with peak, tracked:
            flood = burst(server, dataset, SECONDS, connections=CONNECTIONS)
        ended = time.monotonic()
        until("it is ready again", lambda: _is_ready(server), 30)
        recovered = time.monotonic() - ended
        receipts = {row["job_id"] for row in read(folder / "ledger.db", "SELECT job_id FROM receipts")}
    finally:
        server.child.kill()
        endpoint.child.kill()
    load = tracked.load
    acknowledged = flood.answered - flood.faults + load["statuses"].get("200", 0)
    return {
        "answered_per_second": round((flood.answered + sum(load["statuses"].values())) / SECONDS),
        "acknowledged_per_second": round(acknowledged / SECONDS),
        "acknowledged": acknowledged,
        "recorded": len(receipts),
        "shed": flood.faults,
        "named": {
            "acknowledged": len(load["acknowledged"]),
            "acknowledged_and_not_in_the_ledger": len(set(load["acknowledged"]) - receipts),
            "shed": load["statuses"].get("503", 0),
            "shed_without_retry_after": load["shed_without_retry_after"],
            "other_answers": sum(count for status, count in load["statuses"].items() if status not in {"200", "503"}),
            "p99_ms": load["p99_on_the_wire_ms"],
            "longest_ms": load["longest_on_the_wire_ms"],
        },
        "memory_mb": {"before": round(idle_mb, 1), "peak": round(peak.mb, 1)},
        "recovered_after_seconds": round(recovered, 2),
    }


class _Tracked:
    """Callbacks at a low rate, each of which is looked up in the database."""

    def __init__(self, server: Server, dataset: Dataset, skip: int) -> None:
        self.load: dict[str, Any] = {}

        def run() -> None:
            self.load = generate(
                server, dataset, seconds=SECONDS, rate=NAMED_RATE, connections=NAMED_CONNECTIONS, skip=skip, ready=5000
            )

        self._thread = threading.Thread(target=run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


class _Peak:
    """Samples the memory of a server, ten times a second."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self.mb = 0.0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.1):
            self.mb = max(self.mb, self._server.memory_mb)


def _is_ready(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/readyz", timeout=READY_SECONDS, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
