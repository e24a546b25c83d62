"""What a provider answered is noted, whatever becomes of the task that asked."""

import asyncio

import pytest

from ledger.errors import DiskFull
from ledger.records import JobState
from ledger.sqlite.store import SQLiteStore
from ledger.storage.transaction import Transaction
from providers.http import Request, Response, Unread
from tests.submitter.desk import LEASE, Desk, Script, answer, taken
from tests.submitter.lines import until


@pytest.mark.parametrize(
    "reply", [taken(), answer(422), answer(503), Unread("x")], ids=["taken", "422", "503", "unread"]
)
async def test_an_answer_that_was_read_is_noted_even_if_its_task_is_cancelled(
    reply: Response | Exception, desk: Desk, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await desk.accept()
    [task] = await desk.due("submit")
    write, gate, waiting = store.write, asyncio.Event(), asyncio.Event()

    async def held(transaction: Transaction[object]) -> object:
        if desk_asked.asked:
            waiting.set()
            await gate.wait()
        return await write(transaction)

    monkeypatch.setattr(store, "write", held)
    desk_asked = Script(reply)
    handling = asyncio.ensure_future(desk.submitter(desk_asked).handle(task))
    await waiting.wait()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert (await desk.job(job_id)).state is JobState.SUBMITTING
    gate.set()
    await until(lambda: desk.heard)
    assert (await desk.job(job_id)).state is not JobState.SUBMITTING


async def test_a_task_cancelled_before_an_answer_leaves_the_claim_to_run_out(desk: Desk) -> None:
    job_id = await desk.accept()
    [task] = await desk.due("submit")
    asked = asyncio.Event()

    async def never(_: Request) -> Response:
        asked.set()
        await asyncio.Event().wait()
        raise AssertionError

    handling = asyncio.ensure_future(desk.submitter(Script(never)).handle(task))
    await asked.wait()
    handling.cancel()
    await asyncio.gather(handling, return_exceptions=True)
    assert (await desk.job(job_id)).state is JobState.SUBMITTING
    desk.clock.pass_seconds(LEASE / 1000)
    script = Script(taken())
    await desk.submit(script)
    assert ((await desk.job(job_id)).state, script.asked) == (JobState.UNCONFIRMED, [])


async def test_an_answer_that_the_ledger_cannot_take_never_leads_to_a_second_request(
    desk: Desk, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await desk.accept()
    script = Script(taken())
    write = store.write

    async def full(transaction: Transaction[object]) -> object:
        if script.asked:
            raise DiskFull("no room")
        return await write(transaction)

    with monkeypatch.context() as disk:
        disk.setattr(store, "write", full)
        with pytest.raises(DiskFull):
            await desk.submit(script)
    assert {fact["request"] for fact in desk.heard.named("job.record_failed")} == {
        "req-1"
    }  # the log has what the disk lost
    await desk.submit(script)
    assert ((await desk.job(job_id)).state, len(script.asked)) == (JobState.UNCONFIRMED, 1)


async def test_a_request_id_that_the_ledger_cannot_take_at_once_is_noted_when_it_can(
    desk: Desk, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await desk.accept()
    script = Script(taken("req-7"))
    write = store.write

    async def full_for_a_while(transaction: Transaction[object]) -> object:
        if script.asked and len(desk.naps) < 3:
            raise DiskFull("no room")
        return await write(transaction)

    monkeypatch.setattr(store, "write", full_for_a_while)
    await desk.submit(script)
    job = await desk.job(job_id)
    assert (job.state, job.provider_request_id, len(script.asked)) == (JobState.SUBMITTED, "req-7", 1)


async def test_a_request_id_that_another_job_has_is_announced_as_contested(desk: Desk) -> None:
    await desk.submitted("fal", "req-1")
    await desk.accept()
    await desk.submit(Script(taken("req-1")))
    [fact] = desk.heard.named("job.request_id_conflicted")
    assert fact["request"] == "req-1"
