"""Alive is not ready: ready means that a callback would be recorded and a job carried on."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from ledger.errors import (
    CannotOpen,
    Contradiction,
    Corrupt,
    DiskFull,
    LedgerError,
    Overloaded,
    Unanswered,
    Unavailable,
)
from ledger.requests import Kind, Task
from ledger.sqlite.store import SQLiteStore
from tests.conftest import Clock, EmittedEvents
from tests.database import ON_BOTH_DATABASES
from tests.receiver.harness import Receiver, until
from work.shutdown import Shutdown
from work.worker import Worker
from work.worker_group import WorkerGroup


async def test_a_healthy_receiver_is_alive_and_ready(receiver: Receiver) -> None:
    for path, word in (("/healthz", "alive"), ("/readyz", "ready")):
        response = await receiver.http.get(path)
        assert (response.status_code, response.json()) == (200, {"status": word})


async def test_readyz_names_stopped_workers(receiver: Receiver) -> None:
    receiver.stopped_workers = ["submit worker", "poll worker"]
    response = await receiver.http.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "not running: submit worker, poll worker"})
    assert (await receiver.http.get("/healthz")).status_code == 200


async def test_a_read_only_database_is_not_ready(receiver: Receiver, sqlite_store: SQLiteStore) -> None:
    await sqlite_store._writer.execute("PRAGMA query_only = ON")
    response = await receiver.http.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "the database does not answer"})
    assert (await receiver.http.get("/v1/jobs")).status_code == 200
    assert (await receiver.http.get("/healthz")).status_code == 200
    await sqlite_store._writer.execute("PRAGMA query_only = OFF")
    assert (await receiver.http.get("/readyz")).status_code == 200


@ON_BOTH_DATABASES
async def test_a_closed_database_is_not_ready(receiver: Receiver) -> None:
    await receiver.store.close()
    assert (await receiver.http.get("/readyz")).status_code == 503


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DiskFull("/srv/secret.db"), "the disk of the database is full"),
        (Overloaded("secret"), "too many writes wait for the database (MAX_WAITING_WRITES)"),
        (Unanswered("secret"), "the database does not confirm what is written"),
        (Unavailable("secret"), "the database does not answer"),
        (Corrupt("secret"), "the database is damaged"),
        (CannotOpen('password of "secret"'), "the database refuses the connection or the statement"),
        (Contradiction("secret"), "the database rejects what is written"),
    ],
)
async def test_readyz_says_why_in_words_of_its_own_and_the_log_in_those_of_the_database(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, error: LedgerError, reason: str
) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(receiver.store, "write", fail)
    response = await receiver.http.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"status": reason})
    assert receiver.emitted.named("receiver.became_unready") == [{"reason": reason, "error": str(error)}]


async def test_only_changes_of_readiness_are_logged(receiver: Receiver) -> None:
    async def readyz() -> None:
        for _ in range(3):
            await receiver.http.get("/readyz")

    await readyz()
    assert receiver.emitted == []
    for _ in range(2):
        receiver.stopped_workers = ["poll worker"]
        await readyz()
        receiver.stopped_workers = []
        await readyz()
    changes = [
        ("receiver.became_unready", {"reason": "not running: poll worker"}),
        ("receiver.became_ready", {}),
    ]
    assert receiver.emitted == changes * 2


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


async def test_a_worker_that_fails_is_reported_as_stopped(
    receiver: Receiver, clock: Clock, emitted: EmittedEvents
) -> None:
    async def nothing(task: Task) -> None: ...

    class Broken(Worker):
        async def run_once(self) -> int:
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
