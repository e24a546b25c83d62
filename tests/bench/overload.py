"""Far more than it can take, for ten seconds: what is shed, what is kept, and how soon all is well again.

wrk offers as much as it can over three times MAX_CONNECTIONS connections; our own generator calls back among them and
keeps the name of each job that was acknowledged. Without wrk a second generator stands in for it.
"""

import threading
import time
from pathlib import Path
from typing import Any

import httpx

from tests.bench.ground import Ground
from tests.bench.load import burst, generate
from tests.bench.places import Server, Sink, receiver
from tests.process.children import until
from tests.process.reading import read

SECONDS = 10
CONNECTIONS = 3000
NAMED_RATE = 300
NAMED_CONNECTIONS = 300
WELL_SECONDS = 0.1
"""An answer that comes this soon is an answer of a receiver that is well."""


def measure(folder: Path, ground: Ground, replayed: int) -> dict[str, Any]:
    """Overload a receiver, and compare what it acknowledged with what its ledger has. wrk has the first `replayed`."""
    folder.mkdir(parents=True)
    sink = Sink(folder, ground, hold=True)
    server = receiver(folder, ground, sink)
    peak, named = _Peak(server), _Named(server, ground, replayed)
    try:
        idle_mb = server.memory_mb
        with peak, named:
            crowd = burst(server, ground, SECONDS, connections=CONNECTIONS)
        ended = time.monotonic()
        until("it is well again", lambda: _well(server), 30)
        recovered = time.monotonic() - ended
        receipts = {row["job_id"] for row in read(folder / "ledger.db", "SELECT job_id FROM receipts")}
    finally:
        server.child.kill()
        sink.child.kill()
    told = named.told
    acknowledged = crowd.answered - crowd.faults + told["statuses"].get("200", 0)
    return {
        "answered_per_second": round((crowd.answered + sum(told["statuses"].values())) / SECONDS),
        "acknowledged_per_second": round(acknowledged / SECONDS),
        "acknowledged": acknowledged,
        "recorded": len(receipts),
        "shed": crowd.faults,
        "named": {
            "acknowledged": len(told["acknowledged"]),
            "acknowledged_and_not_in_the_ledger": len(set(told["acknowledged"]) - receipts),
            "shed": told["statuses"].get("503", 0),
            "shed_without_retry_after": told["shed_without_retry_after"],
            "other_answers": sum(count for status, count in told["statuses"].items() if status not in {"200", "503"}),
            "p99_ms": told["p99_on_the_wire_ms"],
            "longest_ms": told["longest_on_the_wire_ms"],
        },
        "memory_mb": {"before": round(idle_mb, 1), "peak": round(peak.mb, 1)},
        "recovered_after_seconds": round(recovered, 2),
    }


class _Named:
    """Callbacks at a modest rate, each of which is followed to the ledger."""

    def __init__(self, server: Server, ground: Ground, skip: int) -> None:
        def run() -> None:
            self.told = generate(
                server, ground, seconds=SECONDS, rate=NAMED_RATE, connections=NAMED_CONNECTIONS, skip=skip, ready=5000
            )

        self.told: dict[str, Any] = {}
        self._thread = threading.Thread(target=run)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()


class _Peak:
    """Looks at the memory of a server, ten times a second."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.mb = 0.0

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.mb = max(self.mb, self._server.memory_mb)


def _well(server: Server) -> bool:
    try:
        return httpx.get(f"{server.url}/readyz", timeout=WELL_SECONDS, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
