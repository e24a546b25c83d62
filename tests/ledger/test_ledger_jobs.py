"""Accepting once, and listing in pages."""

import pytest

from ledger import jobs
from ledger.jobs import NewJob
from ledger.records import JobState
from tests.ledger.conftest import Story, ms

NEW = NewJob(provider="fal", model="a/b", input='{"x": 1}', idempotency_key="key-1", notify=("https://u.example/",))


async def test_the_same_key_and_request_is_the_same_job(story: Story) -> None:
    first = await story.store.write(jobs.accept(NEW, now=ms(0)))
    again = await story.store.write(jobs.accept(NEW, now=ms(9)))
    assert (first.new, again.new) == (True, False)
    assert again.job_id == first.job_id
    assert again.same_request
    assert await story.events(first.job_id) == ["job.accepted"]
    assert len(await story.fetch("submit", at=10)) == 1


async def test_the_same_key_for_another_request_makes_no_job(story: Story) -> None:
    first = await story.store.write(jobs.accept(NEW, now=ms(0)))
    other = NewJob(provider="fal", model="a/b", input='{"x": 2}', idempotency_key="key-1")
    again = await story.store.write(jobs.accept(other, now=ms(9)))
    assert (again.new, again.same_request, again.job_id) == (False, False, first.job_id)
    assert len(await jobs.list_jobs(story.store, limit=10)) == 1


async def test_jobs_without_a_key_are_all_new(story: Story) -> None:
    assert await story.accept() != await story.accept()


@pytest.mark.parametrize(("state", "provider"), [(None, None), ("accepted", None), (None, "fal"), ("accepted", "fal")])
async def test_pages_go_from_new_to_old_without_gaps_or_repeats(
    story: Story, state: str | None, provider: str | None
) -> None:
    ids = [await story.accept(at=n) for n in range(7)]
    await story.accept(at=8, provider="heygen")
    await story.submit("req-9", at=9)
    seen: list[str] = []
    before = jobs.AFTER_ALL_IDENTIFIERS
    while page := await jobs.list_jobs(
        story.store,
        limit=3,
        before=before,
        state=JobState(state) if state else None,
        provider=provider,  # type: ignore[arg-type]  # parametrised text
    ):
        seen += [job.id for job in page]
        before = page[-1].id
    assert seen == sorted(seen, reverse=True)
    assert set(ids) <= set(seen)
    assert len(seen) == 9 - (state is not None) - (provider is not None)


async def test_events_are_read_after_a_sequence_number(story: Story) -> None:
    job_id = await story.submit()
    assert [event.sequence for event in await jobs.list_events(story.store, job_id, after=1)] == [2]
