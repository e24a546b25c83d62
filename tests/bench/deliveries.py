"""Deliveries a second: a backlog for one endpoint, sent, signed and noted, beside a loop that only sends."""

import subprocess
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.ground import Ground
from tests.bench.places import SERVER_CORE, Sink, pinned, receiver
from tests.process.children import ROOT, python, until
from tests.process.reading import read

ROUNDS = 3
LOOP_SECONDS = 4
PATIENCE_SECONDS = 120


def measure(folder: Path, ground: Ground, backlog: int, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Deliver the ground's backlog, and run the loops, in turns; medians."""
    ours, plain, few, aiohttp = [], [], [], []
    for number in range(rounds):
        place = folder / str(number)
        place.mkdir(parents=True)
        ours.append(delivered(place, ground, backlog))
        plain.append(_loop(place, ground))
        few.append(_loop(place, ground, "--at-once", "8"))
        aiohttp.append(_loop(place, ground, "--aiohttp"))
    rate = median(each["per_second"] for each in ours)
    return {
        "per_second": round(rate),
        "cpu_us": round(median(each["cpu_us"] for each in ours), 1),
        "noted": sum(each["noted"] for each in ours),
        "httpx_per_second": round(median(plain)),
        "httpx_aiohttp_per_second": round(median(aiohttp)),
        "httpx_8_at_once_per_second": round(median(few)),
        "ratio_to_httpx": rate / median(plain),
        "ratio_to_httpx_8_at_once": rate / median(few),
        "ratio_to_httpx_aiohttp": rate / median(aiohttp),
    }


def delivered(place: Path, ground: Ground, backlog: int) -> dict[str, Any]:
    """Let a receiver find the backlog at its start, and count what arrives: the rate of all but the first tenth."""
    sink = Sink(place, ground)
    server = receiver(place, ground, sink)
    try:
        until("the backlog is told", lambda: sink.count() >= backlog, PATIENCE_SECONDS)
        cpu = server.cpu_seconds
        until("nothing is left", lambda: not pending(place), 10)
        times = sorted(at for _, _, at in sink.told())
    finally:
        server.child.kill()
        sink.child.kill()
    tenth = len(times) // 10
    return {
        "per_second": (len(times) - tenth) / (times[-1] - times[tenth]),
        "cpu_us": 1e6 * cpu / len(times),
        "noted": _count(place, "SELECT count(*) FROM attempts WHERE status = 200"),
    }


def pending(place: Path) -> int:
    """Count the deliveries that are still to be made."""
    return _count(place, "SELECT count(*) FROM deliveries WHERE state = 'pending'")


def _count(place: Path, statement: str) -> int:
    return int(read(place / "ledger.db", statement)[0]["count(*)"])


def _loop(place: Path, ground: Ground, *options: str) -> float:
    sink = Sink(place, ground)
    words = python("-m", "tests.bench.baselines.httpx_loop", f"{sink.url}/hooks", str(LOOP_SECONDS), *options)
    try:
        said = subprocess.run(
            pinned(SERVER_CORE, words), cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        return float(said.stdout)
    finally:
        sink.child.kill()
