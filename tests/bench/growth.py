"""The same measurements on a database with a million finished jobs and on an empty one, and every listing."""

import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from tests.bench import callbacks, deliveries, notifications
from tests.bench.dataset import Dataset
from tests.bench.generator import percentile
from tests.bench.processes import EndpointProcess, receiver
from tests.process.sqlite_reader import read

READS = 40
"""Readings of each listing."""

ROUNDS = 3


def measure(folder: Path, empty: Dataset, full: Dataset, finished: int) -> dict[str, Any]:
    """Measure on both databases in turns. Ratios are full to empty: above 1 is faster for rates, slower for times."""
    found: dict[str, dict[str, list[float]]] = {"empty": {}, "full": {}}
    for number in range(ROUNDS):
        for name, dataset in (("empty", empty), ("full", full)):
            place = folder / f"{name}-{number}"
            for figure, value in _figures(place, dataset).items():
                found[name].setdefault(figure, []).append(value)
            shutil.rmtree(place)
    medians = {name: {figure: median(values) for figure, values in each.items()} for name, each in found.items()}
    return {
        "finished_jobs": finished,
        "bytes_per_job": round(full.bytes_per_job(finished)),
        "empty": medians["empty"],
        "full": medians["full"],
        "ratios": {figure: medians["full"][figure] / value for figure, value in medians["empty"].items()},
        "listings_ms": _listings(folder / "listings", full),
    }


def _figures(place: Path, dataset: Dataset) -> dict[str, float]:
    """Callbacks first, whose notifications get no response: they are the backlog that is then delivered."""
    taken = callbacks.one(place / "callbacks", dataset, "receiver")
    sent = deliveries.delivered(place / "callbacks", dataset, deliveries.pending(place / "callbacks"))
    (place / "callbacks" / "ledger.db").unlink()
    notified = notifications.measure(place / "notifications", dataset, seconds=10)
    return {
        "callbacks_per_second": taken.per_second,
        "deliveries_per_second": sent["per_second"],
        "notification_p50_ms": notified["p50_ms"],
        "notification_p99_ms": notified["p99_ms"],
    }


def _made(place: Path) -> Path:
    place.mkdir(parents=True)
    return place


def _listings(place: Path, dataset: Dataset) -> dict[str, float]:
    """Return the 99th percentile of each listing over HTTP, in ms, at cursors all over the database."""
    endpoint = EndpointProcess(_made(place), dataset, hold=True)
    server = receiver(place, dataset, endpoint, NOTIFY_URL="")
    try:
        ids = [row["id"] for row in read(place / "ledger.db", "SELECT id FROM jobs ORDER BY id LIMIT 1 OFFSET 0")]
        step = "SELECT id FROM jobs WHERE id > ? ORDER BY id LIMIT 1 OFFSET 20000"
        while len(ids) < READS and (rows := read(place / "ledger.db", step, ids[-1])):
            ids.append(rows[0]["id"])
        with server.client() as client:
            client.get("/v1/jobs")  # the first response of a process compiles its statements
            return {name: _timed(client, path, ids) for name, path in _PATHS.items()}
    finally:
        server.child.kill()
        endpoint.child.kill()


_PATHS = {
    "jobs": "/v1/jobs?cursor=ID",
    "jobs by state": "/v1/jobs?state=completed&cursor=ID",
    "jobs by a state that none has": "/v1/jobs?state=failed&cursor=ID",
    "jobs by provider": "/v1/jobs?provider=fal&cursor=ID",
    "jobs by a provider that none has": "/v1/jobs?provider=heygen&cursor=ID",
    "jobs by provider and state": "/v1/jobs?provider=fal&state=completed&cursor=ID",
    "a page of 200": "/v1/jobs?limit=200&cursor=ID",
    "a job": "/v1/jobs/ID",
    "events of a job": "/v1/jobs/ID/events",
    "receipts of a job": "/v1/jobs/ID/receipts",
    "dead deliveries": "/v1/deliveries?state=dead",
    "metrics": "/metrics",
}


def _timed(client: httpx.Client, path: str, ids: list[str]) -> float:
    taken = []
    for job_id in ids:
        began = time.monotonic()
        answer = client.get(path.replace("ID", job_id))
        taken.append(time.monotonic() - began)
        assert answer.status_code == 200, answer.text
    return percentile(sorted(taken), 0.99)
