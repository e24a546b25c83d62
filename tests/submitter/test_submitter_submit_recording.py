"""A provider's response is recorded, whatever happens to the task that sent the request."""

import asyncio

import pytest

from ledger.errors import CannotOpen, Closed, Contradiction, DiskFull, LedgerError, Unanswered
from ledger.records import JobState
from ledger.storage.store import Store
from ledger.storage.transaction import Transaction
from providers.http import Request, Response, Unread
from tests.database import ON_BOTH_DATABASES
from tests.outbound.loopback import until
from tests.submitter.harness import LEASE, Harness, Script, accepted, response

pytestmark = ON_BOTH_DATABASES


@pytest.mark.parametrize(
    "reply", [accepted(), response(422), response(503), Unread("x")], ids=["taken", "422", "503", "unread"]
)
async def test_a_response_that_was_read_is_recorded_even_if_the_task_is_cancelled(
    reply: Response | Exception, harness: Harness, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await harness.accept()
    [task] = await harness.due("submit")
    write, gate, blocked = store.write, asyncio.Event(), asyncio.Event()

    async def held(transaction: Transaction[object]) -> object:
        if script.requests:
            blocked.set()
            await gate.wait()
        return await write(transaction)

    monkeypatch.setattr(store, "write", held)
    script = Script(reply)
    handling = asyncio.ensure_future(harness.submitter(script).handle(task))
    await blocked.wait()
    handling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await handling
    assert (await harness.job(job_id)).state is JobState.SUBMITTING
    gate.set()
    await until(lambda: harness.emitted)
    assert (await harness.job(job_id)).state is not JobState.SUBMITTING


async def test_a_task_cancelled_before_a_response_leaves_the_claim_to_end(harness: Harness) -> None:
    job_id = await harness.accept()
    [task] = await harness.due("submit")
    sent = asyncio.Event()

    async def never(_: Request) -> Response:
        sent.set()
        await asyncio.Event().wait()
        raise AssertionError

    handling = asyncio.ensure_future(harness.submitter(Script(never)).handle(task))
    await sent.wait()
    handling.cancel()
    await asyncio.gather(handling, return_exceptions=True)
    assert (await harness.job(job_id)).state is JobState.SUBMITTING
    harness.clock.pass_seconds(LEASE / 1000)
    script = Script(accepted())
    await harness.submit_due(script)
    assert ((await harness.job(job_id)).state, script.requests) == (JobState.UNCONFIRMED, [])


async def test_a_response_that_cannot_be_recorded_never_leads_to_a_second_request(
    harness: Harness, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await harness.accept()
    script = Script(accepted())
    write = store.write

    async def rejecting(transaction: Transaction[object]) -> object:
        if script.requests:
            raise Contradiction("a bug")
        return await write(transaction)

    with monkeypatch.context() as database:
        database.setattr(store, "write", rejecting)
        with pytest.raises(Contradiction):
            await harness.submit_due(script)
    [failed] = harness.emitted.named("job.record_failed")
    assert failed["request"] == "req-1"  # the log has what the database has not
    harness.clock.pass_seconds(LEASE / 1000)
    await harness.submit_due(script)
    assert ((await harness.job(job_id)).state, len(script.requests)) == (JobState.UNCONFIRMED, 1)


@pytest.mark.parametrize("error", [DiskFull("no room"), Unanswered("lost"), CannotOpen("another password")])
@pytest.mark.parametrize(
    "case",
    [
        (accepted("req-7"), JobState.SUBMITTED, 3),
        (accepted("req-7"), JobState.SUBMITTED, 10 * LEASE // 500),  # the claim has ended long ago
        (response(422), JobState.FAILED, 3),
        (response(503), JobState.ACCEPTED, 3),
        (Unread("hung up"), JobState.UNCONFIRMED, 3),
    ],
    ids=["taken", "taken, late", "422", "503", "unread"],
)
async def test_recording_a_response_is_repeated_until_the_database_takes_it(
    case: tuple[Response | Exception, JobState, int],
    error: Exception,
    harness: Harness,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reply, state, failures = case
    job_id = await harness.accept()
    script = Script(reply)
    write = store.write

    async def failing_at_first(transaction: Transaction[object]) -> object:
        if script.requests and len(harness.sleeps) < failures:
            raise error
        return await write(transaction)

    monkeypatch.setattr(store, "write", failing_at_first)
    await harness.submit_due(script)
    job = await harness.job(job_id)
    assert (job.state, len(script.requests)) == (state, 1)
    assert job.provider_request_id == ("req-7" if state is JobState.SUBMITTED else None)


@pytest.mark.parametrize(("reply", "error"), [(response(422), DiskFull("no room")), (accepted(), Closed("ending"))])
async def test_recording_a_refusal_ends_with_the_claim_and_any_response_with_the_process(
    reply: Response, error: LedgerError, harness: Harness, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = await harness.accept()
    script = Script(reply)
    write = store.write

    async def failing(transaction: Transaction[object]) -> object:
        if script.requests:
            raise error
        return await write(transaction)

    with monkeypatch.context() as database:
        database.setattr(store, "write", failing)
        with pytest.raises(type(error)):
            await harness.submit_due(script)
    harness.clock.pass_seconds(LEASE / 1000)
    await harness.submit_due(script)
    assert ((await harness.job(job_id)).state, len(script.requests)) == (JobState.UNCONFIRMED, 1)


async def test_a_request_id_that_another_job_has_is_a_conflict(harness: Harness) -> None:
    await harness.submitted("fal", "req-1")
    await harness.accept()
    await harness.submit_due(Script(accepted("req-1")))
    [event] = harness.emitted.named("job.request_id_conflicted")
    assert event["request"] == "req-1"
