"""Deliveries a second: a backlog for one endpoint, signed, sent and recorded, beside a loop that only sends."""

import subprocess
from pathlib import Path
from statistics import median
from typing import Any

from tests.bench.dataset import Dataset
from tests.bench.processes import SERVER_CORE, EndpointProcess, pinned, receiver
from tests.process.children import ROOT, python, until
from tests.process.sqlite_reader import read

ROUNDS = 3
LOOP_SECONDS = 4
TIMEOUT_SECONDS = 120


def measure(folder: Path, dataset: Dataset, backlog: int, *, rounds: int = ROUNDS) -> dict[str, Any]:
    """Deliver the backlog and run the loops in turns; return medians."""
    ours, plain, few, aiohttp = [], [], [], []
    for number in range(rounds):
        place = folder / str(number)
        place.mkdir(parents=True)
        ours.append(delivered(place, dataset, backlog))
        plain.append(_loop(place, dataset))
        few.append(_loop(place, dataset, "--at-once", "8"))
        aiohttp.append(_loop(place, dataset, "--aiohttp"))
    rate = median(each["per_second"] for each in ours)
    return {
        "per_second": round(rate),
        "cpu_us": round(median(each["cpu_us"] for each in ours), 1),
        "recorded": sum(each["recorded"] for each in ours),
        "httpx_per_second": round(median(plain)),
        "httpx_aiohttp_per_second": round(median(aiohttp)),
        "httpx_8_at_once_per_second": round(median(few)),
        "ratio_to_httpx": rate / median(plain),
        "ratio_to_httpx_8_at_once": rate / median(few),
        "ratio_to_httpx_aiohttp": rate / median(aiohttp),
    }


def delivered(place: Path, dataset: Dataset, backlog: int) -> dict[str, Any]:
    """Start a receiver on the backlog, and return the rate of all deliveries but the first tenth."""
    endpoint = EndpointProcess(place, dataset)
    server = receiver(place, dataset, endpoint)
    try:
        until("the backlog is delivered", lambda: endpoint.count() >= backlog, TIMEOUT_SECONDS)
        cpu = server.cpu_seconds
        until("no delivery is pending", lambda: not pending(place), 10)
        times = sorted(at for _, _, at in endpoint.received())
    finally:
        server.child.kill()
        endpoint.child.kill()
    tenth = len(times) // 10
    return {
        "per_second": (len(times) - tenth) / (times[-1] - times[tenth]),
        "cpu_us": 1e6 * cpu / len(times),
        "recorded": _count(place, "SELECT count(*) FROM attempts WHERE status = 200"),
    }


def pending(place: Path) -> int:
    """Count the pending deliveries."""
    return _count(place, "SELECT count(*) FROM deliveries WHERE state = 'pending'")


def _count(place: Path, statement: str) -> int:
    return int(read(place / "ledger.db", statement)[0]["count(*)"])


def _loop(place: Path, dataset: Dataset, *options: str) -> float:
    endpoint = EndpointProcess(place, dataset)
    words = python("-m", "tests.bench.baselines.httpx_loop", f"{endpoint.url}/hooks", str(LOOP_SECONDS), *options)
    try:
        done = subprocess.run(
            pinned(SERVER_CORE, words), cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
        )
        return float(done.stdout)
    finally:
        endpoint.child.kill()
