"""A transaction that is repeated because its commit was not confirmed has its effect once."""

from ledger.records import JobState
from ledger.requests import ProviderRequest
from ledger.transitions import deliveries, endpoints, submissions
from tests.ledger.conftest import Scenario, ms


async def test_a_repeated_confirmation_makes_one_event_and_one_delivery(scenario: Scenario) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await scenario.accept()
    await scenario.begin(job_id)
    transaction = submissions.confirm(job_id, "fal", ProviderRequest(request_id="req-1"), now=ms(2), poll_at=ms(60))
    assert await scenario.store.write(transaction) is True
    assert await scenario.store.write(transaction) is False
    assert await scenario.events(job_id) == ["job.accepted", "job.submitted"]
    assert len(await deliveries.list_deliveries_of_subject(scenario.store, job_id)) == 1


async def test_a_repeated_claim_returns_the_same_claim(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    transaction = submissions.claim(job_id, now=ms(1), until=ms(61))
    first, again = await scenario.store.write(transaction), await scenario.store.write(transaction)
    assert first.claim is not None
    assert again.claim == first.claim
    assert (await scenario.job(job_id)).submissions == 1


async def test_a_repeated_claim_after_an_ended_one_makes_the_job_unconfirmed_once(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    await scenario.begin(job_id, at=1, until=61)
    transaction = submissions.claim(job_id, now=ms(61), until=ms(121))
    for _ in range(2):
        claimed = await scenario.store.write(transaction)
        assert claimed.claim is None
        assert claimed.job is not None
        assert claimed.job.state is JobState.UNCONFIRMED
    assert await scenario.events(job_id) == ["job.accepted", "job.unconfirmed"]
