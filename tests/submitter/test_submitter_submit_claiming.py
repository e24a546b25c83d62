"""A claim whose commit was not confirmed is repeated under the same id, so that a job never sent is not unconfirmed."""

import pytest

from ledger.errors import Unanswered
from ledger.records import JobState
from ledger.storage.store import Store
from ledger.storage.transaction import Transaction
from tests.database import ON_BOTH_DATABASES
from tests.submitter.harness import LEASE, Harness, Script, accepted

pytestmark = ON_BOTH_DATABASES


class Unconfirmed:
    """A store that does not confirm the first claims; `commits` says whether they are committed."""

    def __init__(self, store: Store, *, commits: bool, times: int) -> None:
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
        raise Unanswered("the connection was lost")


@pytest.mark.parametrize("commits", [True, False], ids=["committed", "not committed"])
async def test_a_job_whose_claim_was_not_confirmed_is_submitted_once(
    harness: Harness, store: Store, monkeypatch: pytest.MonkeyPatch, *, commits: bool
) -> None:
    job_id = await harness.accept()
    [task] = await harness.due("submit")
    monkeypatch.setattr(store, "write", Unconfirmed(store, commits=commits, times=2).write)
    script = Script(accepted("req-7"))
    await harness.submitter(script).handle(task)
    job = await harness.job(job_id)
    assert (job.state, job.provider_request_id, len(script.requests)) == (JobState.SUBMITTED, "req-7", 1)
    assert "job.unconfirmed" not in await harness.events(job_id)


async def test_a_claim_that_is_never_confirmed_is_given_up_at_its_end(
    harness: Harness, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.accept()
    [task] = await harness.due("submit")
    began = harness.clock()
    monkeypatch.setattr(store, "write", Unconfirmed(store, commits=False, times=1_000).write)
    script = Script(accepted())
    with pytest.raises(Unanswered):
        await harness.submitter(script).handle(task)
    assert script.requests == []
    assert harness.clock() - began >= LEASE
