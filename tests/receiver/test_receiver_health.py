"""Alive is not ready: ready means that a callback would be recorded and a job carried on."""

import asyncio

from prometheus_client.parser import text_string_to_metric_families

from ledger.transitions.queue import Kind, Task
from tests.conftest import Clock, Heard
from tests.receiver.house import House, until
from work.shutdown import Shutdown
from work.worker import Worker
from work.worker_group import WorkerGroup


async def test_a_receiver_that_works_is_alive_and_ready(house: House) -> None:
    for path, word in (("/healthz", "alive"), ("/readyz", "ready")):
        response = await house.http.get(path)
        assert (response.status_code, response.json()) == (200, {"status": word})


async def test_a_worker_that_stopped_is_named(house: House) -> None:
    house.stopped_workers = ["submit worker", "check worker"]
    response = await house.http.get("/readyz")
    assert (response.status_code, response.json()) == (503, {"status": "not working: submit worker, check worker"})
    assert (await house.http.get("/healthz")).status_code == 200


async def test_a_ledger_that_cannot_be_written_is_not_ready_though_it_can_be_read(house: House) -> None:
    await house.store._writer.execute("PRAGMA query_only = ON")
    response = await house.http.get("/readyz")
    assert response.status_code == 503
    assert "ledger" in response.json()["status"]
    assert (await house.http.get("/v1/jobs")).status_code == 200
    assert (await house.http.get("/healthz")).status_code == 200
    await house.store._writer.execute("PRAGMA query_only = OFF")
    assert (await house.http.get("/readyz")).status_code == 200


async def test_a_closed_ledger_is_not_ready(house: House) -> None:
    await house.store.close()
    assert (await house.http.get("/readyz")).status_code == 503


async def test_being_ready_changes_nothing(house: House) -> None:
    before = await house.dump()
    await house.http.get("/readyz")
    assert await house.dump() == before


async def test_the_metrics_can_be_read_by_prometheus(house: House) -> None:
    await house.call_back("job_of_a_lost_disk")
    response = await house.http.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    [sample] = [each for each in families["renderhook_callback_recorded"].samples if each.name.endswith("_total")]
    assert (sample.labels["result"], sample.value) == ("orphan", 1.0)


async def test_a_worker_that_ends_by_itself_is_seen_and_announced(house: House, clock: Clock, heard: Heard) -> None:
    async def nothing(task: Task) -> None: ...

    class Broken(Worker):
        async def run_once(self) -> int:
            raise RuntimeError("a internal_error of ours")

    def worker(kind: Kind, made: type[Worker] = Worker) -> Worker:
        return made(house.store, kind, nothing, clock=clock, emit=heard, concurrency=1, longest_ms=1000)

    worker_group = WorkerGroup([worker("submit"), worker("poll", Broken)], heard, Shutdown(1.0))  # type: ignore[arg-type]  # any Emit does
    async with worker_group:
        await until(lambda: worker_group.stopped() == ["check worker"])
        await asyncio.sleep(0)
        [stopped] = heard.named("worker.stopped")
        assert stopped["worker"] == "check worker"
        assert "a internal_error of ours" in str(stopped["error"])
    assert len(heard.named("worker.stopped")) == 1
