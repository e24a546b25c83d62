"""What a look at a job leads to: its end recorded as by a callback, another look, or giving up."""

import asyncio

import pytest

from ledger.records import Fault, JobState
from providers.http import NeverSent, Request, Response, Unread
from submitter.poll import MISSING_TRIES
from tests.submitter.desk import DONE, Desk, Script, answer, fal_account
from tests.submitter.lines import until

IN_QUEUE = answer(200, {"status": "IN_QUEUE"})
COMPLETED = answer(200, {"status": "COMPLETED"})
VIDEO = answer(200, {"video": {"url": "https://v3b.fal.media/files/a/b.mp4", "content_type": "video/mp4"}})
RENDERED = answer(200, {"data": {"status": "completed", "output": {"video_url": "https://files.heygen.ai/a.mp4?s=1"}}})
RENDERING = answer(200, {"data": {"status": "processing"}})
UNKNOWN = answer(404, b"")


async def test_a_running_job_is_looked_at_again_and_waiting_costs_no_try(desk: Desk) -> None:
    job_id = await desk.submitted("heygen")
    waits = []
    for _ in range(20):
        assert await desk.check(Script(RENDERING)) == 1
        waits.append(await desk.seconds_until_due("poll") or 0)
        desk.clock.pass_seconds(waits[-1])
    assert all(8 <= wait <= 12 for wait in waits)
    assert len(set(waits)) > 1  # jitter
    [task] = await desk.due("poll")
    assert task.tries == 0
    assert (await desk.job(job_id)).state is JobState.SUBMITTED
    assert desk.heard == []


@pytest.mark.parametrize(
    "reply", [answer(200, {"data": {"status": "pending"}}, retry_after="45"), answer(429, retry_after="45")]
)
async def test_retry_after_is_honoured(reply: Response, desk: Desk) -> None:
    await desk.submitted("heygen")
    await desk.check(Script(reply))
    assert await desk.seconds_until_due("poll") == 45


async def test_a_job_whose_callback_is_expected_is_asked_less_and_less_often(desk: Desk) -> None:
    await desk.submitted("fal")
    waits = []
    for _ in range(12):
        await desk.check(Script(IN_QUEUE))
        waits.append(await desk.seconds_until_due("poll") or 0)
        desk.clock.pass_seconds(waits[-1])
    assert 48 <= waits[0] <= 72
    assert 192 <= waits[-1] <= 288


async def test_a_job_without_a_callback_keeps_its_pace(desk: Desk) -> None:
    desk.accounts["fal"] = fal_account(calls_back=False)
    await desk.submitted("fal")
    for _ in range(50):
        await desk.check(Script(IN_QUEUE))
        wait = await desk.seconds_until_due("poll") or 0
        assert 4 <= wait <= 6
        desk.clock.pass_seconds(wait)


async def test_a_finished_job_is_fetched_and_recorded_with_the_answer_as_its_receipt(desk: Desk) -> None:
    job_id = await desk.submitted("fal", "r")
    script = Script(COMPLETED, VIDEO)
    await desk.check(script)
    assert [asked.url for asked in script.asked] == [
        "https://queue.fal.run/a/b/requests/r/status",
        "https://queue.fal.run/a/b/requests/r",
    ]
    job = await desk.job(job_id)
    assert (job.state, job.source, job.outputs[0].url) == (JobState.COMPLETED, "poll", DONE.outputs[0].url)
    [receipt] = await desk.receipts(job_id)
    assert (receipt.source, receipt.request_id, receipt.body, receipt.result) == ("poll", "r", VIDEO.body, "recorded")
    assert receipt.headers == '{"status":200}'
    assert await desk.seconds_until_due("poll") is None
    assert [fact["result"] for fact in desk.heard.named("poll.recorded")] == ["recorded"]


async def test_one_look_is_enough_where_it_holds_the_result(desk: Desk) -> None:
    job_id = await desk.submitted("heygen")
    script = Script(RENDERED)
    await desk.check(script)
    assert len(script.asked) == 1
    assert (await desk.job(job_id)).state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("replies", "fault"),
    [
        ((COMPLETED, answer(422, {"detail": [{"type": "face_detection_error", "msg": "none"}]})), Fault.INPUT),
        ((answer(200, {"status": "COMPLETED", "error": "broke", "error_type": "internal_error"}),), Fault.PROVIDER),
    ],
)
async def test_a_failure_found_by_looking_is_recorded(replies: tuple[Response, ...], fault: Fault, desk: Desk) -> None:
    job_id = await desk.submitted("fal")
    await desk.check(Script(*replies))
    job = await desk.job(job_id)
    assert (job.state, job.source, job.error and job.error.fault) == (JobState.FAILED, "poll", fault)


@pytest.mark.parametrize(
    "replies",
    [
        (NeverSent("refused"),),
        (Unread("hung up"),),
        (answer(503, b"busy"),),
        (answer(401, {"detail": "Invalid key"}),),
        (answer(200, b"<html>"),),
        (COMPLETED, Unread("hung up")),
        (COMPLETED, NeverSent("refused")),
        (COMPLETED, answer(502, b"<html>")),
        (COMPLETED, answer(200, b"{")),
    ],
)
async def test_a_question_that_fails_never_fails_the_job(replies: tuple[Response | Exception, ...], desk: Desk) -> None:
    job_id = await desk.submitted("fal")
    await desk.check(Script(*replies))
    assert (await desk.job(job_id)).state is JobState.SUBMITTED
    assert await desk.receipts(job_id) == []
    assert [fact["job"] for fact in desk.heard.named("poll.failed")] == [job_id]
    desk.clock.pass_seconds(72)
    [task] = await desk.due("poll")
    assert task.tries == 0


@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_an_unknown_job_is_believed_lost_only_after_several_looks(provider: str, desk: Desk) -> None:
    job_id = await desk.submitted(provider)  # type: ignore[arg-type]
    for _ in range(MISSING_TRIES):
        assert await desk.check(Script(UNKNOWN)) == 1
        assert (await desk.job(job_id)).state is JobState.SUBMITTED
        desk.clock.pass_seconds(await desk.seconds_until_due("poll") or 0)
    await desk.check(Script(UNKNOWN))
    job = await desk.job(job_id)
    assert (job.state, job.error and job.error.code) == (JobState.FAILED, "not_found")
    assert [receipt.source for receipt in await desk.receipts(job_id)] == ["poll"]


async def test_a_result_that_is_not_there_counts_as_unknown(desk: Desk) -> None:
    job_id = await desk.submitted("fal")
    for _ in range(MISSING_TRIES + 1):
        await desk.check(Script(COMPLETED, UNKNOWN))
        desk.clock.pass_seconds(await desk.seconds_until_due("poll") or 0)
    assert (await desk.job(job_id)).state is JobState.FAILED


async def test_the_last_look_is_at_the_deadline_and_then_the_job_expires(desk: Desk) -> None:
    job_id = await desk.submitted("heygen")
    desk.clock.pass_seconds(595)
    await desk.check(Script(RENDERING))
    assert await desk.seconds_until_due("poll") == 5
    desk.clock.pass_seconds(5)
    script = Script(RENDERING)
    await desk.check(script)
    assert len(script.asked) == 1
    job = await desk.job(job_id)
    assert (job.state, job.error and job.error.code) == (JobState.EXPIRED, "timed_out")
    assert job.error
    assert "within 600 s; it may still finish, and be billed" in job.error.message
    assert await desk.seconds_until_due("poll") is None
    assert [fact["job"] for fact in desk.heard.named("job.expired")] == [job_id]


async def test_a_last_look_that_nobody_answers_is_taken_again_for_as_long_as_the_job_was_allowed(desk: Desk) -> None:
    job_id = await desk.submitted("heygen")
    desk.clock.pass_seconds(600)
    await desk.check(Script(NeverSent("refused")))
    assert (await desk.job(job_id)).state is JobState.SUBMITTED
    desk.clock.pass_seconds(20)
    await desk.check(Script(RENDERED))
    assert (await desk.job(job_id)).state is JobState.COMPLETED


async def test_a_job_that_nobody_can_be_asked_about_expires_in_the_end(desk: Desk) -> None:
    job_id = await desk.submitted("heygen")
    desk.clock.pass_seconds(1_200)
    await desk.check(Script(NeverSent("refused")))
    assert (await desk.job(job_id)).state is JobState.EXPIRED


async def test_no_retry_after_pushes_the_last_look_past_the_deadline(desk: Desk) -> None:
    await desk.submitted("heygen")
    desk.clock.pass_seconds(590)
    await desk.check(Script(answer(429, retry_after="3000")))
    assert await desk.seconds_until_due("poll") == 10


@pytest.mark.parametrize("late", [600, 600_000])
async def test_a_result_that_is_there_at_the_last_look_is_recorded(late: int, desk: Desk) -> None:
    job_id = await desk.submitted("heygen")
    desk.clock.pass_seconds(late)
    await desk.check(Script(RENDERED))
    assert (await desk.job(job_id)).state is JobState.COMPLETED
    assert desk.heard.named("job.expired") == []


@pytest.mark.parametrize("then", [COMPLETED, IN_QUEUE, UNKNOWN])
async def test_a_callback_while_we_look_wins_and_the_look_changes_nothing(then: Response, desk: Desk) -> None:
    job_id = await desk.submitted("fal")
    desk.clock.pass_seconds(86_400)

    async def reply(_: Request) -> Response:
        await desk.call_back(job_id)
        return then

    await desk.check(Script(reply, VIDEO))
    job = await desk.job(job_id)
    assert (job.state, job.source) == (JobState.COMPLETED, "callback")
    assert await desk.seconds_until_due("poll") is None
    assert desk.heard.named("job.expired") == []
    expected = ["recorded", "duplicate"] if then is COMPLETED else ["recorded"]
    assert [receipt.result for receipt in await desk.receipts(job_id)] == expected


async def test_a_job_that_has_ended_is_not_asked_for(desk: Desk) -> None:
    job_id = await desk.submitted("fal")
    [task] = await desk.due("poll")
    await desk.call_back(job_id)
    script = Script(COMPLETED)
    await desk.poller(script).handle(task)
    assert script.asked == []
    assert await desk.seconds_until_due("poll") is None


async def test_a_job_of_an_account_that_was_removed_waits_and_says_so(desk: Desk) -> None:
    job_id = await desk.submitted("heygen")
    account = desk.accounts.pop("heygen")
    script = Script(RENDERED)
    await desk.check(script)
    assert (script.asked, await desk.seconds_until_due("poll")) == ([], 60)
    assert desk.heard.named("provider.not_configured") == [{"job": job_id, "provider": "heygen"}]
    desk.accounts["heygen"] = account
    desk.clock.pass_seconds(60)
    await desk.check(script)
    assert (await desk.job(job_id)).state is JobState.COMPLETED


async def test_an_announced_end_of_the_api_is_passed_on_while_looking(desk: Desk) -> None:
    await desk.submitted("heygen")
    await desk.check(Script(answer(200, {"data": {"status": "pending"}}, deprecation="true")))
    assert [fact["provider"] for fact in desk.heard.named("provider.warning_received")] == ["heygen"]


async def test_an_end_that_was_read_is_recorded_even_if_its_task_is_cancelled(desk: Desk) -> None:
    job_id = await desk.submitted("heygen")
    [task] = await desk.due("poll")
    handling: list[asyncio.Task[None]] = []

    async def reply(_: Request) -> Response:
        asyncio.get_running_loop().call_soon(handling[0].cancel)  # it lands where the record waits for the disk
        return RENDERED

    handling.append(asyncio.ensure_future(desk.poller(Script(reply)).handle(task)))
    with pytest.raises(asyncio.CancelledError):
        await handling[0]
    await until(lambda: desk.heard.named("poll.recorded"))
    assert (await desk.job(job_id)).state is JobState.COMPLETED
