"""What happens when nobody knows whether the provider has the job: no second request in silence, ever."""

from collections.abc import Awaitable, Callable

import pytest

from ledger.records import Fault, JobState
from ledger.transitions import outcomes, submissions
from providers.http import NeverSent, Request, Response, Unread
from tests.submitter.desk import LEASE, Desk, Script, answer, taken

UNSURE = [Unread("hung up"), answer(502), answer(504), answer(524), answer(200, b"<html>"), answer(201, {})]
NAMES = ["unread", "502", "504", "524", "html", "no id"]


async def crash_while_submitting(desk: Desk, provider: str = "fal") -> str:
    """Leave a job as a process does that dies between the provider's accept and our note of it."""
    job_id = await desk.accept(provider)  # type: ignore[arg-type]
    await desk.due("submit")
    now = desk.clock()
    await desk.store.write(submissions.claim(job_id, now=now, until=now + LEASE))
    return job_id


@pytest.mark.parametrize("reply", UNSURE, ids=NAMES)
async def test_an_answer_that_cannot_be_read_makes_the_job_unconfirmed(reply: Response | Unread, desk: Desk) -> None:
    job_id = await desk.accept()
    await desk.submit(Script(reply))
    job = await desk.job(job_id)
    assert (job.state, job.unconfirmed_at, job.submissions) == (JobState.UNCONFIRMED, desk.clock(), 1)
    assert await desk.events(job_id) == ["job.accepted", "job.unconfirmed"]
    assert [fact["job"] for fact in desk.heard.named("job.became_unconfirmed")] == [job_id]


@pytest.mark.parametrize("reply", UNSURE, ids=NAMES)
async def test_where_a_callback_may_come_it_is_waited_for_and_then_given_up_loudly(
    reply: Response | Unread, desk: Desk
) -> None:
    job_id = await desk.accept()
    script = Script(reply)
    await desk.submit(script)
    desk.clock.pass_seconds(86_399)
    assert await desk.submit(script) == 0
    assert (await desk.job(job_id)).state is JobState.UNCONFIRMED
    desk.clock.pass_seconds(1)
    assert await desk.submit(script) == 1
    job = await desk.job(job_id)
    assert (job.state, job.error and job.error.fault) == (JobState.EXPIRED, Fault.NETWORK)
    assert job.error
    assert "may have taken this job and billed it" in job.error.message
    assert [fact["job"] for fact in desk.heard.named("job.expired")] == [job_id]
    assert len(script.asked) == 1
    assert await desk.seconds_until_due("submit") is None


async def test_where_no_callback_can_come_it_is_given_up_at_once(desk: Desk) -> None:
    job_id = await desk.accept("heygen")
    script = Script(Unread("hung up"))
    await desk.submit(script)
    await desk.submit(script)
    assert (await desk.job(job_id)).state is JobState.EXPIRED
    assert len(script.asked) == 1


@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_after_a_crash_the_job_is_unconfirmed_and_never_asked_for_again(provider: str, desk: Desk) -> None:
    job_id = await crash_while_submitting(desk, provider)
    script = Script(taken("never asked"))
    desk.clock.pass_seconds(LEASE / 1000 - 1)
    assert await desk.submit(script) == 0
    assert (await desk.job(job_id)).state is JobState.SUBMITTING
    for _ in range(5):
        desk.clock.pass_seconds(86_400)
        await desk.submit(script)
    assert (await desk.job(job_id)).state is JobState.EXPIRED
    assert await desk.events(job_id) == ["job.accepted", "job.unconfirmed", "job.expired"]
    assert script.asked == []


async def test_a_task_that_comes_due_before_the_claim_is_over_waits_for_its_end(desk: Desk) -> None:
    job_id = await desk.accept()
    now = desk.clock()
    await desk.store.write(submissions.claim(job_id, now=now, until=now + 2 * LEASE))
    script = Script(taken())
    assert await desk.submit(script) == 1
    assert await desk.seconds_until_due("submit") == 2 * LEASE / 1000
    assert ((await desk.job(job_id)).state, script.asked) == (JobState.SUBMITTING, [])


async def test_a_callback_settles_an_unconfirmed_job_and_brings_its_request_id(desk: Desk) -> None:
    job_id = await desk.accept()
    await desk.submit(Script(Unread("hung up")))
    assert await desk.call_back(job_id, "req-7") == "recorded"
    job = await desk.job(job_id)
    assert (job.state, job.provider_request_id) == (JobState.COMPLETED, "req-7")
    assert await desk.seconds_until_due("submit") is None


Reading = Callable[[Request], Awaitable[Response]]


def calling_back_first(desk: Desk, jobs: list[str], then: Response | Exception) -> Reading:
    async def reply(_: Request) -> Response:
        await desk.call_back(jobs[0], "req-1")
        if isinstance(then, Exception):
            raise then
        return then

    return reply


@pytest.mark.parametrize(
    "then",
    [taken("req-1"), Unread("hung up"), answer(503), answer(422), answer(502)],
    ids=["taken", "unread", "503", "422", "502"],
)
async def test_a_callback_before_the_answer_stands_whatever_the_answer_says(
    then: Response | Exception, desk: Desk
) -> None:
    jobs = [await desk.accept()]
    await desk.submit(Script(calling_back_first(desk, jobs, then)))
    job = await desk.job(jobs[0])
    assert (job.state, job.provider_request_id) == (JobState.COMPLETED, "req-1")
    assert await desk.events(jobs[0]) == ["job.accepted", "job.completed"]
    assert await desk.seconds_until_due("submit") is None
    assert await desk.seconds_until_due("poll") is None
    told = {fact for fact, _ in desk.heard}
    assert told <= {"job.already_confirmed"}  # nothing that did not happen is announced


async def test_a_callback_whose_result_must_be_fetched_makes_an_unconfirmed_job_submitted(desk: Desk) -> None:
    job_id = await desk.accept()
    await desk.submit(Script(Unread("hung up")))
    assert await desk.call_back(job_id, "req-7", outcome=None) == "pending"
    assert (await desk.job(job_id)).state is JobState.SUBMITTED
    assert await desk.seconds_until_due("submit") is None
    assert await desk.seconds_until_due("poll") == 0


@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_a_resubmission_happens_after_its_time_never_before_and_is_announced(provider: str, desk: Desk) -> None:
    desk.resubmit = 300_000
    job_id = await desk.accept(provider)  # type: ignore[arg-type]
    script = Script(Unread("hung up"), taken("req-2"))
    await desk.submit(script)
    desk.clock.pass_seconds(299)
    assert await desk.submit(script) == 0
    assert desk.heard.named("job.resubmitted") == []
    desk.clock.pass_seconds(1)
    assert await desk.submit(script) == 1
    job = await desk.job(job_id)
    assert (job.state, job.provider_request_id, job.submissions) == (JobState.SUBMITTED, "req-2", 2)
    assert desk.heard.named("job.resubmitted") == [{"job": job_id, "provider": provider, "submissions": 2}]
    assert len(script.asked) == 2


async def test_a_task_that_comes_early_does_not_resubmit_early(desk: Desk) -> None:
    desk.resubmit = 300_000
    job_id = await desk.accept()
    script = Script(Unread("hung up"), taken("req-2"))
    [task] = await desk.due("submit")
    await desk.submitter(script).handle(task)
    desk.clock.pass_seconds(10)
    await desk.submitter(script).handle(task)
    assert (await desk.job(job_id)).state is JobState.UNCONFIRMED
    assert await desk.seconds_until_due("submit") == 290
    assert len(script.asked) == 1


async def test_a_crash_is_resubmitted_only_its_time_after_it_was_noticed(desk: Desk) -> None:
    desk.resubmit = 300_000
    job_id = await crash_while_submitting(desk)
    script = Script(taken("req-2"))
    desk.clock.pass_seconds(LEASE / 1000)
    await desk.submit(script)
    assert ((await desk.job(job_id)).state, script.asked) == (JobState.UNCONFIRMED, [])
    desk.clock.pass_seconds(300)
    await desk.submit(script)
    assert ((await desk.job(job_id)).state, len(script.asked)) == (JobState.SUBMITTED, 1)


async def test_a_job_is_resubmitted_once_however_often_no_answer_is_read(desk: Desk) -> None:
    desk.resubmit = 1_000
    job_id = await desk.accept("heygen")
    script = Script(Unread("hung up"))
    for _ in range(10):
        await desk.submit(script)
        desk.clock.pass_seconds(1)
    assert len(script.asked) == 2
    assert (await desk.job(job_id)).state is JobState.EXPIRED


@pytest.mark.parametrize("reply", [answer(422), answer(503), NeverSent("refused")], ids=["422", "503", "never sent"])
async def test_a_resubmission_that_is_not_taken_leaves_the_first_request_its_chance(
    reply: Response | Exception, desk: Desk
) -> None:
    desk.resubmit = 1_000
    job_id = await desk.accept()
    await desk.submit(Script(Unread("hung up")))
    desk.clock.pass_seconds(1)
    await desk.submit(Script(reply))
    assert (await desk.job(job_id)).state is JobState.UNCONFIRMED
    assert await desk.store.write(outcomes.cancel(job_id, now=desk.clock())) is False
    assert await desk.call_back(job_id, "req-1") == "recorded"


async def test_a_resubmission_that_was_not_taken_is_asked_again(desk: Desk) -> None:
    desk.resubmit = 1_000
    job_id = await desk.accept()
    await desk.submit(Script(Unread("hung up")))
    desk.clock.pass_seconds(1)
    await desk.submit(Script(answer(503)))
    desk.clock.pass_seconds(2)
    await desk.submit(Script(taken("req-2")))
    assert ((await desk.job(job_id)).state, (await desk.job(job_id)).submissions) == (JobState.SUBMITTED, 2)
