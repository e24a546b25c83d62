"""Liveness and readiness: ready means that callbacks are recorded and workers run."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ledger.errors import DiskFull
from ledger.requests import Kind, Task
from ledger.sqlite.store import SQLiteStore
from telemetry.version import VERSION
from tests.conftest import Clock, EmittedEvents
from tests.database import ON_BOTH_DATABASES
from tests.receiver.harness import Receiver, until
from work.shutdown import Shutdown
from work.worker import Worker
from work.worker_group import WorkerGroup


async def test_a_healthy_receiver_is_alive_and_ready(receiver: Receiver) -> None:
    alive = {"status": "alive", "version": VERSION}
    for path, status in (("/healthz", alive), ("/readyz", {"status": "ready"})):
        response = await receiver.http.get(path)
        assert (response.status_code, response.json()) == (200, status)


async def test_readyz_names_stopped_workers(receiver: Receiver) -> None:
    receiver.stopped_workers = ["submit worker", "poll worker"]
    response = await receiver.http.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "not running: submit worker, poll worker"})
    assert (await receiver.http.get("/healthz")).status_code == 200


async def test_a_read_only_database_is_not_ready(receiver: Receiver, sqlite_store: SQLiteStore) -> None:
    await sqlite_store._writer.execute("PRAGMA query_only = ON")
    response = await receiver.http.get("/readyz")
    assert response.status_code == 503
    assert "database" in response.json()["status"]
    assert (await receiver.http.get("/v1/jobs")).status_code == 200
    assert (await receiver.http.get("/healthz")).status_code == 200
    await sqlite_store._writer.execute("PRAGMA query_only = OFF")
    assert (await receiver.http.get("/readyz")).status_code == 200


@ON_BOTH_DATABASES
async def test_a_closed_database_is_not_ready(receiver: Receiver) -> None:
    await receiver.store.close()
    assert (await receiver.http.get("/readyz")).status_code == 503


async def test_a_full_disk_is_the_reason_and_each_change_is_logged_once(
    receiver: Receiver, emitted: EmittedEvents, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise DiskFull("the disk is full: /data/renderhook.db")

    with monkeypatch.context() as patched:
        patched.setattr(receiver.ledger, "prove_writable", fail)
        for _ in range(3):
            response = await receiver.http.get("/readyz")
            assert (response.status_code, response.json()) == (503, {"status": "the disk of the database is full"})
    for _ in range(3):
        assert (await receiver.http.get("/readyz")).status_code == 200
    changes = [(name, fields) for name, fields in emitted if name.startswith("receiver.became")]
    assert changes == [
        (
            "receiver.became_unready",
            {"reason": "the disk of the database is full", "detail": "the disk is full: /data/renderhook.db"},
        ),
        ("receiver.became_ready", {}),
    ]


@ON_BOTH_DATABASES
async def test_readyz_changes_no_rows(receiver: Receiver) -> None:
    before = await receiver.dump()
    await receiver.http.get("/readyz")
    assert await receiver.dump() == before


@ON_BOTH_DATABASES
async def test_prometheus_can_parse_the_metrics(receiver: Receiver) -> None:
    await receiver.call_back("job_of_a_lost_disk")
    response = await receiver.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    [sample] = [each for each in families["renderhook_callback_recorded"].samples if each.name.endswith("_total")]
    assert (sample.labels["result"], sample.value) == ("orphan", 1.0)


async def test_a_worker_that_ends_by_itself_is_reported_as_stopped(
    receiver: Receiver, clock: Clock, emitted: EmittedEvents
) -> None:
    async def nothing(task: Task) -> None: ...

    class Broken(Worker):
        async def run(self, stop: asyncio.Event) -> None:
            raise RuntimeError("a mistake")

    def worker(kind: Kind, made: type[Worker] = Worker) -> Worker:
        return made(receiver.ledger.queue, kind, nothing, clock=clock, emit=emitted, concurrency=1, longest_ms=1000)

    worker_group = WorkerGroup([worker("submit"), worker("poll", Broken)], emitted, Shutdown(1.0))
    async with worker_group:
        await until(lambda: worker_group.stopped() == ["poll worker"])
        await asyncio.sleep(0)
        [stopped] = emitted.named("worker.stopped")
        assert stopped["worker"] == "poll worker"
        assert "a mistake" in str(stopped["error"])
    assert len(emitted.named("worker.stopped")) == 1
