"""Callbacks a second on Postgres with one, two and four receivers on one database, and the CPU of one callback.

No process is pinned: receivers, Postgres and load share the cores.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

from tests.bench import job_cost, queueing
from tests.bench.dataset import Dataset
from tests.bench.postgres_copy import copy_to_postgres
from tests.bench.postgres_usage import cpu_seconds, wal_bytes_written
from tests.bench.processes import EndpointProcess, Server, receiver_settings
from tests.postgres.servers import PostgresServer, serving
from tests.process.children import ROOT

PROCESSES = (1, 2, 4)
CONNECTIONS = 64
SECONDS = 6


def measure(folder: Path, dataset: Dataset, sqlite_us: float | None) -> dict[str, Any]:
    """Measure each number of receivers on a fresh copy of the same database. `sqlite_us` is a callback's cost there."""
    folder.mkdir(parents=True)
    found: dict[str, Any] = {"postgres": {}, "sqlite_cpu_us": sqlite_us}
    with serving(fsync=True, shared_buffers="256MB", max_wal_size="4GB") as server:
        found["jobs"] = copy_to_postgres(dataset, server.create_database("dataset"))
        for number in PROCESSES:
            found["postgres"][str(number)] = _loaded(folder / str(number), dataset, server, number)
        found["job_cost"] = job_cost.measure(server)
        found["queue"] = queueing.measure(server)
    found["ratio_of_2_to_1"] = found["postgres"]["2"]["per_second"] / found["postgres"]["1"]["per_second"]
    found["ratio_of_4_to_1"] = found["postgres"]["4"]["per_second"] / found["postgres"]["1"]["per_second"]
    return found


def _loaded(folder: Path, dataset: Dataset, server: PostgresServer, number: int) -> dict[str, Any]:
    folder.mkdir()
    name = f"with_{number}"
    url = server.create_database(name, template="dataset")
    server.query("CHECKPOINT")
    shares = list(_shares(folder, dataset, number))
    with _receivers(folder, dataset, url, number) as receivers:
        before = sum(each.cpu_seconds for each in receivers), cpu_seconds(server)
        wal = wal_bytes_written(server)
        began = time.monotonic()
        loads = [
            _wrk(receiver, share, CONNECTIONS // number) for receiver, share in zip(receivers, shares, strict=True)
        ]
        results = [_result(load) for load in loads]
        seconds = time.monotonic() - began
        used = sum(each.cpu_seconds for each in receivers) - before[0], cpu_seconds(server) - before[1]
    answered = sum(count for count, _, _ in results)
    recorded = server.query("SELECT count(*) FROM receipts WHERE result = 'recorded'", database=name)[0][0]
    server.drop_database(name)
    return {
        "per_second": round(sum(count / (micros / 1e6) for count, micros, _ in results)),
        "answered": answered,
        "recorded": recorded,
        "faults": sum(faults for *_, faults in results),
        "receiver_cpu_us": round(1e6 * used[0] / answered, 1),
        "postgres_cpu_us": round(1e6 * used[1] / answered, 1),
        "wal_bytes": round((wal_bytes_written(server) - wal) / answered),
        "seconds": round(seconds, 1),
    }


def _shares(folder: Path, dataset: Dataset, number: int) -> Iterator[Path]:
    """Write callbacks of its own for each receiver: a duplicate has another cost."""
    for each in range(number):
        path = folder / f"callbacks-{each}.tsv"
        with path.open("w") as file:
            for signed in islice(dataset.callbacks(), each, None, number):
                file.write("\t".join((signed.path, *signed.headers.values(), signed.body.decode())) + "\n")
        yield path


@contextmanager
def _receivers(folder: Path, dataset: Dataset, url: str, number: int) -> Iterator[list[Server]]:
    endpoint = EndpointProcess(folder, dataset, hold=True)
    settings = receiver_settings(dataset, endpoint, url)
    command = [sys.executable, "-m", "receiver"]
    receivers = [
        Server(folder / f"server-{each}.log", command, settings, "/healthz", core=None) for each in range(number)
    ]
    try:
        yield receivers
    finally:
        for receiver in receivers:
            receiver.child.kill()
        endpoint.child.kill()


def _wrk(receiver: Server, share: Path, connections: int) -> "subprocess.Popen[str]":
    script = Path(__file__).with_name("replay.lua")
    words = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "20s", "--latency", "-s", str(script)]
    return subprocess.Popen([*words, receiver.url, "--", str(share)], stdout=subprocess.PIPE, text=True, cwd=ROOT)


def _result(load: "subprocess.Popen[str]") -> tuple[int, int, int]:
    output, _ = load.communicate(timeout=SECONDS + 60)
    line = next(line for line in output.splitlines() if line.startswith("RESULT"))
    count, micros, faults, *_ = (int(word) for word in line.split()[1:])
    return count, micros, faults
