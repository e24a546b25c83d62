"""Accepting once, and listing in pages."""

import pytest

from ledger.records import JobState
from ledger.requests import AFTER_ALL_IDENTIFIERS, NewJob
from ledger.transitions import events, jobs
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
    before = AFTER_ALL_IDENTIFIERS
    while page := await jobs.list_jobs(
        story.store,
        limit=3,
        before=before,
        state=JobState(state) if state else None,
        provider=provider,
    ):
        seen += [job.id for job in page]
        before = page[-1].id
    assert seen == sorted(seen, reverse=True)
    assert set(ids) <= set(seen)
    assert len(seen) == 9 - (state is not None) - (provider is not None)


@pytest.mark.parametrize("order", ["fhfhfhfhfh", "ffffffhhhhhh", "hhhhhhffffff", "fhhhffhhhhhf", "ffff", "hhhh"])
@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
async def test_a_listing_by_state_goes_through_the_jobs_of_all_providers_in_one_order(
    story: Story, order: str, limit: int
) -> None:
    """Its index has the provider before the id: each provider's newest are read, and put together."""
    names = {"f": "fal", "h": "heygen"}
    ids = [await story.accept(at=at, provider=names[letter]) for at, letter in enumerate(order)]
    await story.submit("req-9", at=3)  # in another state
    seen: list[str] = []
    before = AFTER_ALL_IDENTIFIERS
    while page := await jobs.list_jobs(story.store, limit=limit, before=before, state=JobState.ACCEPTED):
        assert len(page) == min(limit, len(ids) - len(seen))
        seen += [job.id for job in page]
        before = page[-1].id
    assert seen == ids[::-1]


async def test_input_and_metadata_come_back_as_they_were_given(story: Story) -> None:
    job = await story.job(await story.accept(input='{"x": 1}', metadata='{"order": 7}'))
    assert (job.input, job.metadata) == ('{"x": 1}', '{"order": 7}')


async def test_events_are_read_after_a_sequence_number(story: Story) -> None:
    job_id = await story.submit()
    assert [event.sequence for event in await events.list_events(story.store, job_id, after=1)] == [2]
