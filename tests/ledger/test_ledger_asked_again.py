"""What is asked for again, because nobody heard whether it was done, is done once."""

from ledger.records import JobState
from ledger.requests import ProviderRequest
from ledger.transitions import deliveries, endpoints, submissions
from tests.ledger.conftest import Story, ms


async def test_a_submission_that_is_confirmed_again_is_told_of_once(story: Story) -> None:
    await story.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await story.accept()
    await story.begin(job_id)
    transaction = submissions.confirm(job_id, "fal", ProviderRequest(request_id="req-1"), now=ms(2), poll_at=ms(60))
    assert await story.store.write(transaction) is True
    assert await story.store.write(transaction) is False
    assert await story.events(job_id) == ["job.accepted", "job.submitted"]
    assert len(await deliveries.list_deliveries_of_subject(story.store, job_id)) == 1


async def test_a_claim_that_is_asked_for_again_is_the_same(story: Story) -> None:
    job_id = await story.accept()
    transaction = submissions.claim(job_id, now=ms(1), until=ms(61))
    first, again = await story.store.write(transaction), await story.store.write(transaction)
    assert first.claim is not None
    assert again.claim == first.claim
    assert (await story.job(job_id)).submissions == 1


async def test_a_claim_that_found_a_lost_one_and_is_asked_for_again_finds_it_unconfirmed_once(story: Story) -> None:
    job_id = await story.accept()
    await story.begin(job_id, at=1, until=61)
    transaction = submissions.claim(job_id, now=ms(61), until=ms(121))
    for _ in range(2):
        claimed = await story.store.write(transaction)
        assert claimed.claim is None
        assert claimed.job is not None
        assert claimed.job.state is JobState.UNCONFIRMED
    assert await story.events(job_id) == ["job.accepted", "job.unconfirmed"]
