"""A provider that refuses our account is paused: its jobs wait, visibly, and are submitted when the account works."""

import pytest

from ledger.records import Fault, JobState
from ledger.transitions import outcomes
from providers.http import NeverSent, Response
from submitter.pauses import PROBE_DELAYS
from submitter.submit import Submitter
from tests.database import ON_BOTH_DATABASES
from tests.submitter.harness import Harness, Script, accepted, response

pytestmark = ON_BOTH_DATABASES

WRONG_KEY = response(401, {"detail": "Invalid key"})
LOCKED = response(403, {"detail": "User is locked. Reason: Exhausted balance."})
ACCOUNT = [
    ("fal", WRONG_KEY),
    ("fal", response(402, {"detail": "Payment required"})),
    ("fal", LOCKED),
    ("heygen", response(401, {"error": {"code": "unauthorized", "message": "no"}})),
    ("heygen", response(402, {"error": {"code": "insufficient_credit", "message": "no"}})),
    ("heygen", response(400, {"code": 400112, "message": "Unauthorized"})),
    ("heygen", response(429, {"data": None, "error": {"code": "trial_video_limit_exceeded", "message": "no"}})),
    ("heygen", response(429, {"error": {"code": "quota_exceeded", "message": "no"}})),
    ("heygen", response(403, {"error": {"code": "insufficient_api_key_scope", "message": "no"}})),
    ("heygen", response(200, {"error": {"code": "insufficient_credit", "message": "no"}})),
]
ONE_JOB = [
    ("fal", response(403, {"detail": "You have no access to this application"})),
    ("heygen", response(403, {"error": {"code": "resource_access_denied", "message": "not your avatar"}})),
    ("heygen", response(402, {"error": {"code": "plan_upgrade_required", "message": "4k"}})),
]


async def submit_due(harness: Harness, submitter: Submitter) -> None:
    for task in await harness.due("submit"):
        await submitter.handle(task)


async def pass_to_next(harness: Harness) -> None:
    harness.clock.pass_seconds(await harness.seconds_until_due("submit") or 0)


async def states(harness: Harness, jobs: list[str]) -> set[JobState]:
    return {(await harness.job(job_id)).state for job_id in jobs}


@pytest.mark.parametrize(("provider", "reply"), ACCOUNT)
async def test_a_job_whose_provider_refuses_our_account_waits_and_says_why(
    provider: str, reply: Response, harness: Harness
) -> None:
    job_id = await harness.accept(provider)
    await submit_due(harness, harness.submitter(Script(reply)))
    job = await harness.job(job_id)
    assert (job.state, job.submissions) == (JobState.ACCEPTED, 0)
    assert job.error is not None
    assert (job.error.fault, job.error.code) == (Fault.ACCOUNT, "account_refused")
    assert job.error.message.startswith(f"{provider} refuses our account (")
    assert f"Check {provider.upper()}_" in job.error.message
    assert await harness.events(job_id) == ["job.accepted"]
    assert await harness.seconds_until_due("submit") == PROBE_DELAYS[0] / 1000
    assert (await harness.ledger.count_needing_attention())["held"] == 1


@pytest.mark.parametrize(("provider", "reply"), ONE_JOB)
async def test_a_refusal_that_concerns_one_job_fails_it_and_holds_no_other(
    provider: str, reply: Response, harness: Harness
) -> None:
    first, second = await harness.accept(provider), await harness.accept(provider)
    await submit_due(harness, harness.submitter(Script(reply, accepted())))
    job = await harness.job(first)
    assert (job.state, job.error and job.error.fault) == (JobState.FAILED, Fault.ACCOUNT)
    assert (await harness.job(second)).state is JobState.SUBMITTED
    assert harness.emitted.named("provider.paused") == []


async def test_no_job_fails_while_the_key_is_wrong_and_all_are_submitted_when_it_works(harness: Harness) -> None:
    jobs = [await harness.accept() for _ in range(20)]
    script = Script(WRONG_KEY)
    submitter = harness.submitter(script)
    await submit_due(harness, submitter)
    assert len(script.requests) == 1  # they are handled in turn here: the others see the pause
    assert {error.code for job_id in jobs if (error := (await harness.job(job_id)).error)} == {"account_refused"}
    assert (await harness.ledger.count_needing_attention())["held"] == 20
    for number in range(2, 100):
        await pass_to_next(harness)
        await submit_due(harness, submitter)
        assert len(script.requests) == number  # one probe each time
    assert await states(harness, jobs) == {JobState.ACCEPTED}
    script.replies = [accepted(f"req-{number}") for number in range(20)]
    for _ in range(3):
        await pass_to_next(harness)
        await submit_due(harness, submitter)
    assert await states(harness, jobs) == {JobState.SUBMITTED}
    assert {(await harness.job(job_id)).error for job_id in jobs} == {None}
    assert (await harness.ledger.count_needing_attention())["held"] == 0
    [resumed] = harness.emitted.named("provider.resumed")
    assert resumed["provider"] == "fal"
    assert harness.emitted.named("job.failed") == []
    assert {event["provider"] for event in harness.emitted.named("provider.paused")} == {"fal"}


async def test_probes_become_rarer_up_to_one_a_minute(harness: Harness) -> None:
    await harness.accept()
    submitter = harness.submitter(Script(WRONG_KEY))
    waits = []
    for _ in range(7):
        await submit_due(harness, submitter)
        waits.append(await harness.seconds_until_due("submit"))
        await pass_to_next(harness)
    assert waits == [5, 10, 20, 40, 60, 60, 60]


async def test_another_provider_is_not_held(harness: Harness) -> None:
    script = Script(WRONG_KEY, accepted())
    submitter = harness.submitter(script)
    await harness.accept("fal")
    await submit_due(harness, submitter)
    other = await harness.accept("heygen")
    await submit_due(harness, submitter)
    assert (await harness.job(other)).state is JobState.SUBMITTED


async def test_a_job_that_was_held_has_the_whole_time_to_be_taken_afterwards(harness: Harness) -> None:
    job_id = await harness.accept()
    script = Script(WRONG_KEY)
    submitter = harness.submitter(script)
    for _ in range(200):
        await submit_due(harness, submitter)
        await pass_to_next(harness)
    assert harness.clock() - (await harness.job(job_id)).created_at > 2 * harness.give_up_after
    submitter = harness.submitter(script)  # as after a restart with another key
    script.replies = [response(503), NeverSent("refused"), response(503)]
    held_until = harness.clock()
    while (await harness.job(job_id)).state is JobState.ACCEPTED:
        await submit_due(harness, submitter)
        await pass_to_next(harness)
    job = await harness.job(job_id)
    assert job.state is JobState.FAILED
    assert (job.finalized_at or 0) - held_until >= harness.give_up_after


async def test_an_unclear_answer_to_a_probe_neither_ends_nor_lengthens_the_pause(harness: Harness) -> None:
    first, second = await harness.accept(), await harness.accept()
    script = Script(WRONG_KEY, NeverSent("refused"), accepted("req-1"), accepted("req-2"))
    submitter = harness.submitter(script)
    await submit_due(harness, submitter)
    for _ in range(10):
        await pass_to_next(harness)
        await submit_due(harness, submitter)
        if await states(harness, [first, second]) == {JobState.SUBMITTED}:
            break
    assert await states(harness, [first, second]) == {JobState.SUBMITTED}
    assert len(harness.emitted.named("provider.resumed")) == 1


async def test_an_unconfirmed_job_keeps_its_reason_when_its_resubmission_is_refused_for_our_account(
    harness: Harness,
) -> None:
    harness.resubmit = 1_000
    job_id = await harness.accept()
    submitter = harness.submitter(Script(response(502), WRONG_KEY))
    await submit_due(harness, submitter)
    reason = (await harness.job(job_id)).error
    harness.clock.pass_seconds(1)
    await submit_due(harness, submitter)
    job = await harness.job(job_id)
    assert (job.state, job.error, job.submissions) == (JobState.UNCONFIRMED, reason, 1)


async def test_a_held_job_that_is_canceled_has_no_error(harness: Harness) -> None:
    job_id = await harness.accept()
    await submit_due(harness, harness.submitter(Script(WRONG_KEY)))
    assert await harness.store.write(outcomes.cancel(job_id, now=harness.clock()))
    assert (await harness.job(job_id)).error is None
