"""A provider may have taken a job that it answers with a failure of its own: it is asked again a few times only."""

import pytest

from ledger.records import Fault, JobState
from providers.http import NeverSent, Response
from tests.database import ON_BOTH_DATABASES
from tests.submitter.harness import Harness, Script, accepted, response

pytestmark = ON_BOTH_DATABASES

OWN_FAILURES = [500, 501, 505, 507, 519]
LIMITS = {"fal": 3, "heygen": 2}


async def submit_until_ended(harness: Harness, job_id: str, script: Script) -> None:
    for _ in range(100):
        await harness.submit_due(script)
        if (await harness.job(job_id)).state is not JobState.ACCEPTED:
            return
        harness.clock.pass_seconds(await harness.seconds_until_due("submit") or 0)


@pytest.mark.parametrize("status", OWN_FAILURES)
@pytest.mark.parametrize("provider", LIMITS)
async def test_a_provider_that_takes_jobs_and_answers_with_a_failure_is_asked_a_few_times_only(
    provider: str, status: int, harness: Harness
) -> None:
    job_id = await harness.accept(provider)
    script = Script(response(status, {"detail": "oops", "message": "oops"}))
    await submit_until_ended(harness, job_id, script)
    assert len(script.requests) == LIMITS[provider]
    job = await harness.job(job_id)
    assert (job.state, job.error and job.error.fault) == (JobState.FAILED, Fault.PROVIDER)
    assert job.error is not None
    assert f"answered {LIMITS[provider]} submissions of this job with a failure of its own" in job.error.message
    assert "It may have taken the job all the same" in job.error.message
    assert [event["taken"] for event in harness.emitted.named("job.submit_rescheduled")] == (
        ["unclear"] * (LIMITS[provider] - 1)
    )
    assert len(harness.emitted.named("job.failed")) == 1


async def test_heygens_own_word_for_a_failure_counts_as_one(harness: Harness) -> None:
    job_id = await harness.accept("heygen")
    script = Script(response(200, {"error": {"code": "internal_error", "message": "oops"}}))
    await submit_until_ended(harness, job_id, script)
    assert (len(script.requests), (await harness.job(job_id)).state) == (2, JobState.FAILED)


async def test_failures_count_over_the_life_of_a_job_and_other_responses_do_not(harness: Harness) -> None:
    job_id = await harness.accept()
    others: list[Response | Exception] = [response(503), response(429), NeverSent("refused")]
    replies = [*others, response(500), *others, response(500), *others, response(500)]
    script = Script(*replies)
    await submit_until_ended(harness, job_id, script)
    assert (len(script.requests), (await harness.job(job_id)).state) == (len(replies), JobState.FAILED)
    assert (await harness.job(job_id)).server_errors == 2


async def test_a_job_that_is_taken_after_a_failure_is_submitted(harness: Harness) -> None:
    job_id = await harness.accept()
    await submit_until_ended(harness, job_id, Script(response(500), response(500), accepted()))
    job = await harness.job(job_id)
    assert (job.state, job.error, job.submissions) == (JobState.SUBMITTED, None, 1)


async def test_a_job_says_why_it_is_still_accepted(harness: Harness) -> None:
    job_id = await harness.accept()
    await harness.submit_due(Script(response(503, b"busy")))
    job = await harness.job(job_id)
    assert (job.state, job.error and job.error.code) == (JobState.ACCEPTED, "http_503")


async def test_a_callback_ends_a_job_that_was_taken_in_spite_of_the_failure(harness: Harness) -> None:
    job_id = await harness.accept()
    await harness.submit_due(Script(response(500)))
    assert await harness.call_back(job_id) == "recorded"
    job = await harness.job(job_id)
    assert (job.state, job.error) == (JobState.COMPLETED, None)
    assert await harness.seconds_until_due("submit") is None
