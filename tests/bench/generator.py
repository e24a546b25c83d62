"""Our own load: sends each callback of a dataset once, at a rate or as fast as responses come.

`python -m tests.bench.generator GROUND URL --connections 64 [--rate 300] --seconds 10 --out FILE`. Latency is counted
from the moment a callback was due, not from when there was a connection for it: a stall counts for all of them.
"""

import argparse
import asyncio
import gc
import json
import time
from collections import Counter, deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import uvloop

from tests.bench.dataset import Dataset, Signed

TICK_SECONDS = 0.001
Ready = tuple[str, bytes]
"""A job, and the whole request that calls back for it."""


class Load:
    """Everything sent and answered. `due` is on the monotonic clock."""

    def __init__(self, callbacks: Iterator[Signed], address: tuple[str, int], connections: int, ready: int) -> None:
        self.address = address
        self.most = connections
        self.callbacks = callbacks
        self.ready = deque(request_bytes(signed) for signed in islice(callbacks, ready))
        self.connections: set[Connection] = set()
        self.idle: list[Connection] = []
        self.opening = 0
        self.waiting: deque[tuple[Ready, float]] = deque()
        self.latencies: list[tuple[float, float, int]] = []
        self.sent: dict[str, float] = {}
        self.acknowledged: list[str] = []
        self.shed_without_retry_after = 0
        self.broken = 0
        self.closed_loop = False

    def next(self) -> Ready | None:
        """Take the next callback, signing it if need be."""
        if self.ready:
            return self.ready.popleft()
        signed = next(self.callbacks, None)
        return request_bytes(signed) if signed else None

    def send(self, due: float) -> bool:
        """Send one, as soon as there is a connection. False when there are no more."""
        ready = self.next()
        if ready is None:
            return False
        if self.idle:
            self.idle.pop().send(ready, due)
            return True
        self.waiting.append((ready, due))
        if len(self.connections) + self.opening < self.most:
            self.opening += 1
            asyncio.get_running_loop().create_task(self.connect())
        return True

    async def connect(self) -> None:
        """Open one more connection."""
        try:
            await asyncio.get_running_loop().create_connection(lambda: Connection(self), *self.address)
        except OSError:
            self.broken += 1
        finally:
            self.opening -= 1

    def free(self, connection: "Connection") -> None:
        """Send the next callback on a connection, or keep it idle."""
        if self.waiting:
            connection.send(*self.waiting.popleft())
        elif self.closed_loop and (ready := self.next()):
            connection.send(ready, time.monotonic())
        else:
            self.idle.append(connection)


class Connection(asyncio.Protocol):
    """One connection, one callback at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._answer = b""
        self._ready: Ready | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._load.connections.add(self)
        self._load.free(self)

    def connection_lost(self, _: Exception | None) -> None:
        self._load.connections.discard(self)
        if self in self._load.idle:
            self._load.idle.remove(self)
        if self._ready is not None:
            self._load.broken += 1

    def send(self, ready: Ready, due: float) -> None:
        self._ready, self._due = ready, due
        self._sent = self._load.sent[ready[0]] = time.monotonic()
        self._transport.write(ready[1])

    def data_received(self, data: bytes) -> None:
        self._answer += data
        end = self._answer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._answer[:end].lower()
        found = head.find(b"content-length:")
        if len(self._answer) < end + 4 + int(head[found + 15 :].split(b"\r\n", 1)[0]):
            return
        status, load = int(head[9:12]), self._load
        assert self._ready is not None
        now = time.monotonic()
        load.latencies.append((now - self._due, now - self._sent, status))
        if status == 200:
            load.acknowledged.append(self._ready[0])
        elif status == 503 and b"retry-after:" not in head:
            load.shed_without_retry_after += 1
        self._answer, self._ready = b"", None
        if b"connection: close" in head:
            self._transport.close()
        else:
            load.free(self)


def request_bytes(signed: Signed) -> Ready:
    """Return the job and the bytes of its request."""
    lines = [f"{name}: {value}\r\n" for name, value in signed.headers.items()]
    head = f"POST {signed.path} HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n{''.join(lines)}"
    return signed.job_id, f"{head}content-length: {len(signed.body)}\r\n\r\n".encode() + signed.body


async def run(load: Load, *, rate: float | None, seconds: float) -> float:
    """Send for so long, then wait for the answers. Returns how long the sending took."""
    began = time.monotonic()
    if rate is None:
        load.closed_loop = True
        for _ in range(load.most):
            load.send(began)
        await asyncio.sleep(seconds)
        load.closed_loop = False
    else:
        count, wanted = 0, int(rate * seconds)
        while count < wanted:
            late = min(int((time.monotonic() - began) * rate) + 1, wanted)
            for number in range(count, late):
                assert load.send(began + number / rate), "the dataset has too few open jobs for this rate"
            count = late
            await asyncio.sleep(TICK_SECONDS)
    took = time.monotonic() - began
    for _ in range(1000):
        if not load.waiting and len(load.idle) == len(load.connections):
            break
        await asyncio.sleep(0.01)
    return took


def percentile(ordered: list[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of them lie, in ms."""
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else 0.0


def summary(load: Load, took: float) -> dict[str, object]:
    """Return counts and percentiles."""
    on_the_wire = sorted(wire for _, wire, _ in load.latencies)
    good = sorted(latency for latency, _, status in load.latencies if status == 200)
    return {
        "seconds": took,
        "count": len(load.sent),
        "statuses": Counter(str(status) for _, _, status in load.latencies),
        "unanswered": len(load.waiting) + load.broken,
        "shed_without_retry_after": load.shed_without_retry_after,
        "p50_ms": percentile(good, 0.5),
        "p99_ms": percentile(good, 0.99),
        "p99_on_the_wire_ms": percentile(on_the_wire, 0.99),
        "longest_on_the_wire_ms": percentile(on_the_wire, 1.0),
    }


def main() -> None:
    """Run from the command line."""
    words = argparse.ArgumentParser()
    words.add_argument("dataset", type=Path)
    words.add_argument("url")
    words.add_argument("--connections", type=int, default=64)
    words.add_argument("--rate", type=float)
    words.add_argument("--seconds", type=float, required=True)
    words.add_argument("--skip", type=int, default=0)
    words.add_argument("--ready", type=int, default=20_000, help="callbacks signed before the first is sent")
    words.add_argument("--out", type=Path, required=True)
    given = words.parse_args()
    host, port = given.url.removeprefix("http://").split(":")
    callbacks = Dataset(given.dataset).callbacks(skip=given.skip)
    gc.disable()  # its pauses would be counted as the server's
    load = Load(callbacks, (host, int(port)), given.connections, given.ready)
    took = uvloop.run(run(load, rate=given.rate, seconds=given.seconds))
    times = {"sent": load.sent, "acknowledged": load.acknowledged}
    given.out.write_text(json.dumps(summary(load, took) | times))


if __name__ == "__main__":
    main()
