"""The other side of a measurement: serves fal's keys, and receives notifications.

`python -m tests.bench.endpoint --jwks FILE [--hold] [--count-only]` prints `endpoint listening on <url>`.
It responds at once; with --hold not before SIGUSR1.
`GET /count` is how many notifications came; `GET /times` when each did (job id, event, monotonic seconds).
"""

import argparse
import asyncio
import json
import signal
import time
from pathlib import Path
from typing import Any

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Endpoint:
    """The notifications received, and the connections that have no response yet."""

    def __init__(self, jwks: bytes, *, hold: bool, count_only: bool) -> None:
        self.jwks = jwks
        self.count_only = count_only
        self.number = 0
        self.hold = hold
        self.held: list[asyncio.Transport] = []
        self.received: list[tuple[bytes, float]] = []

    def release(self) -> None:
        self.hold = False
        for transport in self.held:
            transport.write(OK)
        self.held.clear()

    def answer(self, transport: asyncio.Transport, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST"):
            self.number += 1
            if not self.count_only:
                self.received.append((body, time.monotonic()))
            if self.hold:
                self.held.append(transport)
            else:
                transport.write(OK)
            return
        path = head.split(b" ", 2)[1]
        found = {b"/count": self._count, b"/times": self._times}.get(path, lambda: self.jwks)()
        transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(found) + found)

    def _count(self) -> bytes:
        return str(self.number).encode()

    def _times(self) -> bytes:
        received = ((json.loads(body), at) for body, at in self.received)
        return json.dumps([(event["data"]["job"]["id"], event["type"], at) for event, at in received]).encode()


class Connection(asyncio.Protocol):
    """HTTP/1.1 as far as our own clients speak it: a head, and a body of a declared length."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._sink = endpoint
        self._waiting = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while (end := self._waiting.find(b"\r\n\r\n")) >= 0:
            head = self._waiting[:end]
            found = head.lower().find(b"content-length:")
            length = int(head[found + 15 :].split(b"\r\n", 1)[0]) if found >= 0 else 0
            if len(self._waiting) < end + 4 + length:
                return
            body, self._waiting = self._waiting[end + 4 : end + 4 + length], self._waiting[end + 4 + length :]
            self._sink.answer(self._transport, head, body)


async def main() -> None:
    """Serve until killed."""
    words = argparse.ArgumentParser()
    words.add_argument("--jwks", type=Path, required=True)
    words.add_argument("--hold", action="store_true")
    words.add_argument("--count-only", action="store_true")
    given = words.parse_args()
    endpoint = Endpoint(given.jwks.read_bytes(), hold=given.hold, count_only=given.count_only)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, endpoint.release)
    server = await loop.create_server(lambda: Connection(endpoint), "127.0.0.1", 0)
    print(f"endpoint listening on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)  # noqa: T201 - the parent process waits for it
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
