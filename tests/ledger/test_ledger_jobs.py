"""Jobs are accepted once for each Idempotency-Key, and listed in pages."""

import pytest

from ledger.records import JobState
from ledger.requests import AFTER_ALL_IDENTIFIERS, NewJob
from ledger.transitions import events, jobs
from tests.ledger.conftest import Scenario, ms

NEW = NewJob(provider="fal", model="a/b", input='{"x": 1}', idempotency_key="key-1", notify=("https://u.example/",))


async def test_the_same_key_and_request_is_the_same_job(scenario: Scenario) -> None:
    first = await scenario.store.write(jobs.accept(NEW, now=ms(0)))
    again = await scenario.store.write(jobs.accept(NEW, now=ms(9)))
    assert (first.new, again.new) == (True, False)
    assert again.job_id == first.job_id
    assert again.same_request
    assert await scenario.events(first.job_id) == ["job.accepted"]
    assert len(await scenario.fetch("submit", at=10)) == 1


async def test_the_same_key_for_another_request_makes_no_job(scenario: Scenario) -> None:
    first = await scenario.store.write(jobs.accept(NEW, now=ms(0)))
    other = NewJob(provider="fal", model="a/b", input='{"x": 2}', idempotency_key="key-1")
    again = await scenario.store.write(jobs.accept(other, now=ms(9)))
    assert (again.new, again.same_request, again.job_id) == (False, False, first.job_id)
    assert len(await jobs.list_jobs(scenario.store, limit=10)) == 1


async def test_jobs_without_a_key_are_all_new(scenario: Scenario) -> None:
    assert await scenario.accept() != await scenario.accept()


@pytest.mark.parametrize(("state", "provider"), [(None, None), ("accepted", None), (None, "fal"), ("accepted", "fal")])
async def test_pages_are_newest_first_without_gaps_or_repeats(
    scenario: Scenario, state: str | None, provider: str | None
) -> None:
    ids = [await scenario.accept(at=n) for n in range(7)]
    await scenario.accept(at=8, provider="heygen")
    await scenario.submit("req-9", at=9)
    seen: list[str] = []
    before = AFTER_ALL_IDENTIFIERS
    while page := await jobs.list_jobs(
        scenario.store,
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
async def test_a_listing_by_state_has_the_jobs_of_all_providers_newest_first(
    scenario: Scenario, order: str, limit: int
) -> None:
    """The index has the provider before the id, so the statement merges one list for each provider."""
    names = {"f": "fal", "h": "heygen"}
    ids = [await scenario.accept(at=at, provider=names[initial]) for at, initial in enumerate(order)]
    await scenario.submit("req-9", at=3)  # in another state
    seen: list[str] = []
    before = AFTER_ALL_IDENTIFIERS
    while page := await jobs.list_jobs(scenario.store, limit=limit, before=before, state=JobState.ACCEPTED):
        assert len(page) == min(limit, len(ids) - len(seen))
        seen += [job.id for job in page]
        before = page[-1].id
    assert seen == ids[::-1]


async def test_input_and_metadata_are_returned_unchanged(scenario: Scenario) -> None:
    job = await scenario.job(await scenario.accept(input='{"x": 1}', metadata='{"order": 7}'))
    assert (job.input, job.metadata) == ('{"x": 1}', '{"order": 7}')


async def test_events_are_read_after_a_sequence_number(scenario: Scenario) -> None:
    job_id = await scenario.submit()
    assert [event.sequence for event in await events.list_events(scenario.store, job_id, after=1)] == [2]
