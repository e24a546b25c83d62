"""What an idle worker asks of SQLite. On Postgres notifications of its own commits wake it too: counts vary."""

import asyncio

from ledger.storage.transaction import Rows
from tests.outbound.loopback import until
from tests.submitter.gated_handler import FetchCounter, GatedHandler, make_worker, running
from tests.submitter.harness import Harness


async def test_an_idle_worker_reads_once_and_wakes_for_a_new_job(harness: Harness, fetch_counter: FetchCounter) -> None:
    handler = GatedHandler(harness)
    reads = 0
    read = harness.store.read

    async def counted(statement: str, values: dict[str, object]) -> Rows:
        nonlocal reads
        reads += 1
        return await read(statement, values)

    harness.store.read = counted  # type: ignore[assignment,method-assign]  # the test counts the reads
    async with running(make_worker(harness, handler)):
        await until(lambda: reads == 1)
        for _ in range(200):
            await asyncio.sleep(0)
        assert (fetch_counter.fetches, reads) == (1, 1)
        job_id = await harness.accept()
        await until(lambda: handler.claimed == [job_id])
        await until(lambda: reads == 2)
        for _ in range(200):
            await asyncio.sleep(0)
        assert fetch_counter.fetches == 2
