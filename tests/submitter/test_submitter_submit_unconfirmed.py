"""When it is not known whether the provider has the job, no second request is sent unless the policy says so."""

from collections.abc import Awaitable, Callable

import pytest

from ledger.records import Fault, JobState
from ledger.transitions import outcomes
from providers.http import NeverSent, Request, Response, Unread
from tests.database import ON_BOTH_DATABASES
from tests.submitter.harness import LEASE, Harness, Script, accepted, response

pytestmark = ON_BOTH_DATABASES

UNREADABLE = [
    Unread("hung up"),
    response(502),
    response(504),
    response(524),
    response(200, b"<html>"),
    response(201, {}),
]
NAMES = ["unread", "502", "504", "524", "html", "no id"]


async def crash_while_submitting(harness: Harness, provider: str = "fal") -> str:
    """Leave a job as a process does that stops between the provider's response and its record."""
    job_id = await harness.accept(provider)
    await harness.due("submit")
    await harness.claim(job_id)
    return job_id


@pytest.mark.parametrize("reply", UNREADABLE, ids=NAMES)
async def test_a_response_that_cannot_be_read_makes_the_job_unconfirmed(
    reply: Response | Unread, harness: Harness
) -> None:
    job_id = await harness.accept()
    await harness.submit_due(Script(reply))
    job = await harness.job(job_id)
    assert (job.state, job.unconfirmed_at, job.submissions) == (JobState.UNCONFIRMED, harness.clock(), 1)
    assert await harness.events(job_id) == ["job.accepted", "job.unconfirmed"]
    [event] = harness.emitted.named("job.became_unconfirmed")
    assert job.error is not None
    assert job.error.message.startswith("it is unknown whether fal runs this job: ")
    assert (event["job"], event["code"], event["message"]) == (job_id, job.error.code, job.error.message)


@pytest.mark.parametrize("reply", UNREADABLE, ids=NAMES)
async def test_an_unconfirmed_job_waits_for_its_callback_and_then_expires(
    reply: Response | Unread, harness: Harness
) -> None:
    job_id = await harness.accept()
    script = Script(reply)
    await harness.submit_due(script)
    harness.clock.pass_seconds(86_399)
    assert await harness.submit_due(script) == 0
    assert (await harness.job(job_id)).state is JobState.UNCONFIRMED
    harness.clock.pass_seconds(1)
    assert await harness.submit_due(script) == 1
    job = await harness.job(job_id)
    assert (job.state, job.error and job.error.fault) == (JobState.EXPIRED, Fault.NETWORK)
    assert job.error
    assert job.error.message.startswith("it is unknown whether fal runs this job: ")
    assert "No callback was verified within 86400 s. It may have been billed" in job.error.message
    assert [event["job"] for event in harness.emitted.named("job.expired")] == [job_id]
    assert len(script.requests) == 1
    assert await harness.seconds_until_due("submit") is None


@pytest.mark.parametrize("reply", [response(502, b"<html>"), response(504), Unread("hung up")])
async def test_without_callbacks_it_is_unknown_whether_a_job_runs_for_as_long_as_it_may_run(
    reply: Response | Unread, harness: Harness
) -> None:
    job_id = await harness.accept("heygen")
    script = Script(reply)
    await harness.submit_due(script)
    harness.clock.pass_seconds(599)
    assert await harness.submit_due(script) == 0
    job = await harness.job(job_id)
    assert job.error is not None
    assert (job.state, job.error.retryable) == (JobState.UNCONFIRMED, False)
    assert job.error.message.startswith("it is unknown whether heygen runs this job: ")
    harness.clock.pass_seconds(1)
    await harness.submit_due(script)
    job = await harness.job(job_id)
    assert (job.state, job.error and job.error.code) == (JobState.EXPIRED, "unconfirmed")
    assert job.error is not None
    assert "heygen does not call back, and without the id of a request it cannot be polled" in job.error.message
    assert "callback came" not in job.error.message
    assert len(script.requests) == 1


async def test_a_job_is_expired_with_the_reason_that_made_it_unconfirmed(harness: Harness) -> None:
    job_id = await harness.accept("heygen")
    await harness.submit_due(Script(response(502, {"error": {"code": "gateway_timeout", "message": "upstream"}})))
    harness.clock.pass_seconds(600)
    await harness.submit_due(Script(accepted()))
    job = await harness.job(job_id)
    assert job.error is not None
    assert job.error.message == (
        "it is unknown whether heygen runs this job: upstream. heygen does not call back, and without the id of a "
        "request it cannot be polled. It may have been billed: check the provider's own dashboard before submitting "
        "it again"
    )


@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_after_a_crash_the_job_is_unconfirmed_and_never_submitted_again(provider: str, harness: Harness) -> None:
    job_id = await crash_while_submitting(harness, provider)
    script = Script(accepted("never sent"))
    harness.clock.pass_seconds(LEASE / 1000 - 1)
    assert await harness.submit_due(script) == 0
    assert (await harness.job(job_id)).state is JobState.SUBMITTING
    for _ in range(5):
        harness.clock.pass_seconds(86_400)
        await harness.submit_due(script)
    assert (await harness.job(job_id)).state is JobState.EXPIRED
    assert await harness.events(job_id) == ["job.accepted", "job.unconfirmed", "job.expired"]
    assert script.requests == []


async def test_a_task_that_is_due_before_a_claim_ends_is_rescheduled_to_its_end(harness: Harness) -> None:
    job_id = await harness.accept()
    await harness.claim(job_id, lease_ms=2 * LEASE)
    script = Script(accepted())
    assert await harness.submit_due(script) == 1
    assert await harness.seconds_until_due("submit") == 2 * LEASE / 1000
    assert ((await harness.job(job_id)).state, script.requests) == (JobState.SUBMITTING, [])


async def test_a_callback_ends_an_unconfirmed_job_and_sets_its_request_id(harness: Harness) -> None:
    job_id = await harness.accept()
    await harness.submit_due(Script(Unread("hung up")))
    assert await harness.call_back(job_id, "req-7") == "recorded"
    job = await harness.job(job_id)
    assert (job.state, job.provider_request_id) == (JobState.COMPLETED, "req-7")
    assert await harness.seconds_until_due("submit") is None


Reading = Callable[[Request], Awaitable[Response]]


def calling_back_first(harness: Harness, jobs: list[str], then: Response | Exception) -> Reading:
    async def reply(_: Request) -> Response:
        await harness.call_back(jobs[0], "req-1")
        if isinstance(then, Exception):
            raise then
        return then

    return reply


@pytest.mark.parametrize(
    "then",
    [accepted("req-1"), Unread("hung up"), response(503), response(422), response(502)],
    ids=["taken", "unread", "503", "422", "502"],
)
async def test_a_callback_before_the_response_stands_whatever_the_response_is(
    then: Response | Exception, harness: Harness
) -> None:
    jobs = [await harness.accept()]
    await harness.submit_due(Script(calling_back_first(harness, jobs, then)))
    job = await harness.job(jobs[0])
    assert (job.state, job.provider_request_id) == (JobState.COMPLETED, "req-1")
    assert await harness.events(jobs[0]) == ["job.accepted", "job.completed"]
    assert await harness.seconds_until_due("submit") is None
    assert await harness.seconds_until_due("poll") is None
    emitted = {event for event, _ in harness.emitted}
    assert emitted <= {"job.already_confirmed"}


async def test_a_callback_without_a_result_makes_an_unconfirmed_job_submitted(harness: Harness) -> None:
    job_id = await harness.accept()
    await harness.submit_due(Script(Unread("hung up")))
    assert await harness.call_back(job_id, "req-7", outcome=None) == "pending"
    assert (await harness.job(job_id)).state is JobState.SUBMITTED
    assert await harness.seconds_until_due("submit") is None
    assert await harness.seconds_until_due("poll") == 0


@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_a_job_is_resubmitted_after_the_delay_and_not_before(provider: str, harness: Harness) -> None:
    harness.resubmit = 300_000
    job_id = await harness.accept(provider)
    script = Script(Unread("hung up"), accepted("req-2"))
    await harness.submit_due(script)
    harness.clock.pass_seconds(299)
    assert await harness.submit_due(script) == 0
    assert harness.emitted.named("job.resubmitted") == []
    harness.clock.pass_seconds(1)
    assert await harness.submit_due(script) == 1
    job = await harness.job(job_id)
    assert (job.state, job.provider_request_id, job.submissions) == (JobState.SUBMITTED, "req-2", 2)
    assert harness.emitted.named("job.resubmitted") == [{"job": job_id, "provider": provider, "submissions": 2}]
    assert len(script.requests) == 2


async def test_a_task_that_is_handled_early_does_not_resubmit_early(harness: Harness) -> None:
    harness.resubmit = 300_000
    job_id = await harness.accept()
    script = Script(Unread("hung up"), accepted("req-2"))
    [task] = await harness.due("submit")
    await harness.submitter(script).handle(task)
    harness.clock.pass_seconds(10)
    await harness.submitter(script).handle(task)
    assert (await harness.job(job_id)).state is JobState.UNCONFIRMED
    assert await harness.seconds_until_due("submit") == 290
    assert len(script.requests) == 1


async def test_after_a_crash_the_delay_begins_when_the_claim_is_found_ended(harness: Harness) -> None:
    harness.resubmit = 300_000
    job_id = await crash_while_submitting(harness)
    script = Script(accepted("req-2"))
    harness.clock.pass_seconds(LEASE / 1000)
    await harness.submit_due(script)
    assert ((await harness.job(job_id)).state, script.requests) == (JobState.UNCONFIRMED, [])
    harness.clock.pass_seconds(300)
    await harness.submit_due(script)
    assert ((await harness.job(job_id)).state, len(script.requests)) == (JobState.SUBMITTED, 1)


async def test_a_job_is_resubmitted_once_at_most(harness: Harness) -> None:
    harness.resubmit = 1_000
    job_id = await harness.accept("heygen")
    script = Script(Unread("hung up"))
    for _ in range(10):
        await harness.submit_due(script)
        harness.clock.pass_seconds(1)
    harness.clock.pass_seconds(600)
    await harness.submit_due(script)
    assert len(script.requests) == 2
    assert (await harness.job(job_id)).state is JobState.EXPIRED


@pytest.mark.parametrize(
    "reply", [response(422), response(503), NeverSent("refused")], ids=["422", "503", "never sent"]
)
async def test_after_a_resubmission_that_was_not_taken_the_first_callback_is_still_recorded(
    reply: Response | Exception, harness: Harness
) -> None:
    harness.resubmit = 1_000
    job_id = await harness.accept()
    await harness.submit_due(Script(Unread("hung up")))
    harness.clock.pass_seconds(1)
    await harness.submit_due(Script(reply))
    assert (await harness.job(job_id)).state is JobState.UNCONFIRMED
    assert await harness.store.write(outcomes.cancel(job_id, now=harness.clock())) is False
    assert await harness.call_back(job_id, "req-1") == "recorded"


async def test_a_resubmission_that_was_not_taken_is_retried(harness: Harness) -> None:
    harness.resubmit = 1_000
    job_id = await harness.accept()
    await harness.submit_due(Script(Unread("hung up")))
    harness.clock.pass_seconds(1)
    await harness.submit_due(Script(response(503)))
    harness.clock.pass_seconds(2)
    await harness.submit_due(Script(accepted("req-2")))
    assert ((await harness.job(job_id)).state, (await harness.job(job_id)).submissions) == (JobState.SUBMITTED, 2)
