"""A claim whose commit nobody heard of is asked for again under its own name: what was never sent is in no doubt."""

import pytest

from ledger.errors import Unanswered
from ledger.records import JobState
from ledger.sqlite.store import SQLiteStore
from ledger.storage.transaction import Transaction
from tests.submitter.desk import LEASE, Desk, Script, taken


class Deaf:
    """A store that does not hear the first answers to claims; `commits` tells whether they were carried out."""

    def __init__(self, store: SQLiteStore, *, commits: bool, times: int) -> None:
        self._write = store.write
        self._commits = commits
        self.left = times

    async def write(self, transaction: Transaction[object]) -> object:
        claiming = any(step.statement == "claim_submission" for step in transaction.steps)
        if not claiming or not self.left:
            return await self._write(transaction)
        self.left -= 1
        if self._commits:
            await self._write(transaction)
        raise Unanswered("the database went away")


@pytest.mark.parametrize("commits", [True, False], ids=["was there", "was not there"])
async def test_a_job_whose_claim_was_not_heard_of_is_submitted_once(
    desk: Desk, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, *, commits: bool
) -> None:
    job_id = await desk.accept()
    [task] = await desk.due("submit")
    monkeypatch.setattr(store, "write", Deaf(store, commits=commits, times=2).write)
    script = Script(taken("req-7"))
    await desk.submitter(script).handle(task)
    job = await desk.job(job_id)
    assert (job.state, job.provider_request_id, len(script.asked)) == (JobState.SUBMITTED, "req-7", 1)
    assert "job.unconfirmed" not in await desk.events(job_id)


async def test_a_claim_that_is_never_heard_of_is_given_up_when_it_is_over(
    desk: Desk, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await desk.accept()
    [task] = await desk.due("submit")
    began = desk.clock()
    monkeypatch.setattr(store, "write", Deaf(store, commits=False, times=1_000).write)
    script = Script(taken())
    with pytest.raises(Unanswered):
        await desk.submitter(script).handle(task)
    assert script.asked == []
    assert desk.clock() - began >= LEASE
