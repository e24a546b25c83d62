"""A bare httpx loop: POST the same body again and again, nothing signed, nothing recorded, 64 at once by default.

`python -m tests.bench.baselines.httpx_loop URL SECONDS [--at-once N] [--aiohttp]` prints how many a second.
"""

import argparse
import asyncio
import time

import httpx
import uvloop
from httpx_aiohttp import AiohttpTransport

BODY = b'{"type":"job.completed","timestamp":"2026-01-01T00:00:00.000Z","data":{"job":{"id":"' + b"x" * 900 + b'"}}}'


async def loop(url: str, seconds: float, at_once: int, *, aiohttp: bool) -> float:
    """Post for so long, and return how many a second."""
    limits = httpx.Limits(max_connections=at_once, max_keepalive_connections=at_once)
    transport = AiohttpTransport(limits=limits) if aiohttp else None
    ends, done = time.monotonic() + seconds, 0

    async def post() -> None:
        nonlocal done
        while time.monotonic() < ends:
            response = await client.post(url, content=BODY, headers={"content-type": "application/json"})
            done += response.status_code == 200

    async with httpx.AsyncClient(transport=transport, limits=limits, trust_env=False, timeout=15) as client:
        await asyncio.gather(*(post() for _ in range(at_once)))
    return done / seconds


if __name__ == "__main__":
    words = argparse.ArgumentParser()
    words.add_argument("url")
    words.add_argument("seconds", type=float)
    words.add_argument("--at-once", type=int, default=64)
    words.add_argument("--aiohttp", action="store_true")
    given = words.parse_args()
    print(uvloop.run(loop(given.url, given.seconds, given.at_once, aiohttp=given.aiohttp)))  # noqa: T201 - the figure that the caller reads from our output
