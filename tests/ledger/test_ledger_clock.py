"""A clock that is set back loses nothing, does nothing twice, and keeps pages whole."""

from ledger.requests import AFTER_ALL_IDENTIFIERS
from ledger.transitions import events, jobs, submissions
from tests.ledger.conftest import Story, ms

HOUR = 3600


async def test_pages_have_every_job_once_when_the_clock_was_set_back_between_them(story: Story) -> None:
    made = [await story.accept(at=at) for at in (0, 10, HOUR, HOUR + 10, 5, 20, 30)]
    seen: list[str] = []
    before = AFTER_ALL_IDENTIFIERS
    while page := await jobs.list_jobs(story.store, limit=2, before=before):
        seen += [job.id for job in page]
        before = page[-1].id
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen, reverse=True)


async def test_events_stay_in_their_order_when_the_clock_was_set_back(story: Story) -> None:
    job_id = await story.submit(at=HOUR)
    await story.report(job_id, at=5)
    found = await events.list_events(story.store, job_id)
    assert [event.type for event in found] == ["job.accepted", "job.submitted", "job.completed"]
    assert [event.sequence for event in found] == [1, 2, 3]
    assert [event.at for event in found] == [ms(HOUR), ms(HOUR), ms(5)]


async def test_a_lease_is_not_taken_twice_when_the_clock_was_set_back(story: Story) -> None:
    await story.accept(at=HOUR)
    [task] = await story.fetch("submit", at=HOUR, until=HOUR + 60)
    assert await story.fetch("submit", at=5) == []
    assert await story.fetch("submit", at=HOUR + 59) == []
    [again] = await story.fetch("submit", at=HOUR + 60)
    assert (again.subject, again.lease == task.lease) == (task.subject, False)


async def test_a_task_waits_for_the_clock_that_was_set_back_and_new_tasks_do_not(story: Story) -> None:
    late = await story.accept(at=HOUR)
    early = await story.accept(at=5)
    assert [task.subject for task in await story.fetch("submit", at=6)] == [early]
    assert {task.subject for task in await story.fetch("submit", at=HOUR, until=HOUR + 1)} == {early, late}


async def claimed(story: Story, job_id: str, at: float) -> bool:
    result = await story.store.write(submissions.claim(job_id, now=ms(at), until=ms(at + 60)))
    return result.claim is not None


async def test_a_claim_holds_until_its_time_when_the_clock_was_set_back(story: Story) -> None:
    job_id = await story.accept(at=HOUR)
    claim = await story.begin(job_id, at=HOUR, until=HOUR + 60)
    assert (await story.job(job_id)).last_transition == claim
    assert not await claimed(story, job_id, at=5)
    assert (await story.job(job_id)).state == "submitting"
    assert not await claimed(story, job_id, at=HOUR + 60)
    assert (await story.job(job_id)).state == "unconfirmed"
