"""A poll records the outcome as a callback would, schedules the next poll, or expires the job."""

import asyncio

import pytest

from ledger.records import Fault, JobState
from providers.http import NeverSent, Request, Response, Unread
from submitter.poll import NOT_FOUND_TRIES
from tests.database import ON_BOTH_DATABASES
from tests.outbound.loopback import until
from tests.submitter.harness import DONE, Harness, Script, fal_account, response

pytestmark = ON_BOTH_DATABASES

IN_QUEUE = response(200, {"status": "IN_QUEUE"})
COMPLETED = response(200, {"status": "COMPLETED"})
VIDEO = response(200, {"video": {"url": "https://v3b.fal.media/files/a/b.mp4", "content_type": "video/mp4"}})
RENDERED = response(
    200, {"data": {"status": "completed", "output": {"video_url": "https://files.heygen.ai/a.mp4?s=1"}}}
)
RENDERING = response(200, {"data": {"status": "processing"}})
NOT_FOUND = response(404, b"")


async def test_a_running_job_is_polled_again_without_counting_a_try(harness: Harness) -> None:
    job_id = await harness.submitted("heygen")
    waits = []
    for _ in range(20):
        assert await harness.poll_due(Script(RENDERING)) == 1
        waits.append(await harness.seconds_until_due("poll") or 0)
        harness.clock.pass_seconds(waits[-1])
    assert all(8 <= wait <= 12 for wait in waits)
    assert len(set(waits)) > 1  # jitter
    [task] = await harness.due("poll")
    assert task.tries == 0
    assert (await harness.job(job_id)).state is JobState.SUBMITTED
    assert harness.emitted == []


@pytest.mark.parametrize(
    "reply", [response(200, {"data": {"status": "pending"}}, retry_after="45"), response(429, retry_after="45")]
)
async def test_retry_after_is_honoured(reply: Response, harness: Harness) -> None:
    await harness.submitted("heygen")
    await harness.poll_due(Script(reply))
    assert await harness.seconds_until_due("poll") == 45


async def test_a_job_whose_callback_is_expected_is_polled_less_and_less_often(harness: Harness) -> None:
    await harness.submitted("fal")
    waits = []
    for _ in range(12):
        await harness.poll_due(Script(IN_QUEUE))
        waits.append(await harness.seconds_until_due("poll") or 0)
        harness.clock.pass_seconds(waits[-1])
    assert 48 <= waits[0] <= 72
    assert 192 <= waits[-1] <= 288


async def test_a_job_without_a_callback_is_polled_at_a_steady_interval(harness: Harness) -> None:
    harness.accounts["fal"] = fal_account(calls_back=False)
    await harness.submitted("fal")
    for _ in range(50):
        await harness.poll_due(Script(IN_QUEUE))
        wait = await harness.seconds_until_due("poll") or 0
        assert 4 <= wait <= 6
        harness.clock.pass_seconds(wait)


async def test_the_result_of_a_completed_job_is_recorded_with_the_response_as_its_receipt(harness: Harness) -> None:
    job_id = await harness.submitted("fal", "r")
    script = Script(COMPLETED, VIDEO)
    await harness.poll_due(script)
    assert [asked.url for asked in script.requests] == [
        "https://queue.fal.run/a/b/requests/r/status",
        "https://queue.fal.run/a/b/requests/r",
    ]
    job = await harness.job(job_id)
    assert (job.state, job.source, job.outputs[0].url) == (JobState.COMPLETED, "poll", DONE.outputs[0].url)
    [receipt] = await harness.receipts(job_id)
    assert (receipt.source, receipt.request_id, receipt.body, receipt.result) == ("poll", "r", VIDEO.body, "recorded")
    assert receipt.headers == '{"status":200}'
    assert await harness.seconds_until_due("poll") is None
    assert [event["result"] for event in harness.emitted.named("poll.recorded")] == ["recorded"]
    ended = {"job": job_id, "provider": "fal", "source": "poll", "request": "r"}
    assert harness.emitted.named("job.completed") == [ended]


async def test_one_request_is_enough_when_its_response_has_the_result(harness: Harness) -> None:
    job_id = await harness.submitted("heygen")
    script = Script(RENDERED)
    await harness.poll_due(script)
    assert len(script.requests) == 1
    assert (await harness.job(job_id)).state is JobState.COMPLETED


@pytest.mark.parametrize(
    ("replies", "fault"),
    [
        ((COMPLETED, response(422, {"detail": [{"type": "face_detection_error", "msg": "none"}]})), Fault.INPUT),
        ((response(200, {"status": "COMPLETED", "error": "broke", "error_type": "internal_error"}),), Fault.PROVIDER),
    ],
)
async def test_a_failure_is_recorded(replies: tuple[Response, ...], fault: Fault, harness: Harness) -> None:
    job_id = await harness.submitted("fal")
    await harness.poll_due(Script(*replies))
    job = await harness.job(job_id)
    assert (job.state, job.source, job.error and job.error.fault) == (JobState.FAILED, "poll", fault)
    [event] = harness.emitted.named("job.failed")
    assert (event["job"], event["fault"], event["code"]) == (job_id, fault, job.error and job.error.code)


@pytest.mark.parametrize(
    "replies",
    [
        (NeverSent("refused"),),
        (Unread("hung up"),),
        (response(503, b"busy"),),
        (response(401, {"detail": "Invalid key"}),),
        (response(200, b"<html>"),),
        (COMPLETED, Unread("hung up")),
        (COMPLETED, NeverSent("refused")),
        (COMPLETED, response(502, b"<html>")),
    ],
)
async def test_a_failed_poll_never_fails_the_job(replies: tuple[Response | Exception, ...], harness: Harness) -> None:
    job_id = await harness.submitted("fal")
    await harness.poll_due(Script(*replies))
    assert (await harness.job(job_id)).state is JobState.SUBMITTED
    assert await harness.receipts(job_id) == []
    assert [event["job"] for event in harness.emitted.named("poll.failed")] == [job_id]
    harness.clock.pass_seconds(72)
    [task] = await harness.due("poll")
    assert task.tries == 0


@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_a_job_that_is_not_found_fails_only_after_several_polls(provider: str, harness: Harness) -> None:
    job_id = await harness.submitted(provider)
    for _ in range(NOT_FOUND_TRIES):
        assert await harness.poll_due(Script(NOT_FOUND)) == 1
        assert (await harness.job(job_id)).state is JobState.SUBMITTED
        harness.clock.pass_seconds(await harness.seconds_until_due("poll") or 0)
    await harness.poll_due(Script(NOT_FOUND))
    job = await harness.job(job_id)
    assert (job.state, job.error and job.error.code) == (JobState.FAILED, "not_found")
    assert [receipt.source for receipt in await harness.receipts(job_id)] == ["poll"]


async def test_a_result_that_is_not_found_counts_as_a_job_not_found(harness: Harness) -> None:
    job_id = await harness.submitted("fal")
    for _ in range(NOT_FOUND_TRIES + 1):
        await harness.poll_due(Script(COMPLETED, NOT_FOUND))
        harness.clock.pass_seconds(await harness.seconds_until_due("poll") or 0)
    assert (await harness.job(job_id)).state is JobState.FAILED


async def test_the_last_poll_is_at_the_deadline_and_then_the_job_expires(harness: Harness) -> None:
    job_id = await harness.submitted("heygen")
    harness.clock.pass_seconds(595)
    await harness.poll_due(Script(RENDERING))
    assert await harness.seconds_until_due("poll") == 5
    harness.clock.pass_seconds(5)
    script = Script(RENDERING)
    await harness.poll_due(script)
    assert len(script.requests) == 1
    job = await harness.job(job_id)
    assert (job.state, job.error and job.error.code) == (JobState.EXPIRED, "timed_out")
    assert job.error
    assert "600 s after the submission, that it has not ended request" in job.error.message
    assert await harness.seconds_until_due("poll") is None
    assert [event["job"] for event in harness.emitted.named("job.expired")] == [job_id]


async def test_a_last_poll_without_a_response_is_repeated_for_as_long_as_the_job_was_allowed(harness: Harness) -> None:
    job_id = await harness.submitted("heygen")
    harness.clock.pass_seconds(600)
    await harness.poll_due(Script(NeverSent("refused")))
    assert (await harness.job(job_id)).state is JobState.SUBMITTED
    harness.clock.pass_seconds(20)
    await harness.poll_due(Script(RENDERED))
    assert (await harness.job(job_id)).state is JobState.COMPLETED


async def test_a_job_whose_provider_never_responds_expires_in_the_end(harness: Harness) -> None:
    job_id = await harness.submitted("heygen")
    harness.clock.pass_seconds(1_200)
    await harness.poll_due(Script(NeverSent("refused")))
    assert (await harness.job(job_id)).state is JobState.EXPIRED


async def test_retry_after_never_moves_the_last_poll_past_the_deadline(harness: Harness) -> None:
    await harness.submitted("heygen")
    harness.clock.pass_seconds(590)
    await harness.poll_due(Script(response(429, retry_after="3000")))
    assert await harness.seconds_until_due("poll") == 10


@pytest.mark.parametrize("seconds", [600, 600_000])
async def test_a_result_of_the_last_poll_is_recorded(seconds: int, harness: Harness) -> None:
    job_id = await harness.submitted("heygen")
    harness.clock.pass_seconds(seconds)
    await harness.poll_due(Script(RENDERED))
    assert (await harness.job(job_id)).state is JobState.COMPLETED
    assert harness.emitted.named("job.expired") == []


@pytest.mark.parametrize("then", [COMPLETED, IN_QUEUE, NOT_FOUND])
async def test_a_callback_recorded_during_a_poll_stands(then: Response, harness: Harness) -> None:
    job_id = await harness.submitted("fal")
    harness.clock.pass_seconds(86_400)

    async def reply(_: Request) -> Response:
        await harness.call_back(job_id)
        return then

    await harness.poll_due(Script(reply, VIDEO))
    job = await harness.job(job_id)
    assert (job.state, job.source) == (JobState.COMPLETED, "callback")
    assert await harness.seconds_until_due("poll") is None
    assert harness.emitted.named("job.expired") == []
    expected = ["recorded", "duplicate"] if then is COMPLETED else ["recorded"]
    assert [receipt.result for receipt in await harness.receipts(job_id)] == expected


async def test_a_job_that_has_ended_is_not_polled(harness: Harness) -> None:
    job_id = await harness.submitted("fal")
    [task] = await harness.due("poll")
    await harness.call_back(job_id)
    script = Script(COMPLETED)
    await harness.poller(script).handle(task)
    assert script.requests == []
    assert await harness.seconds_until_due("poll") is None


async def test_a_job_of_a_provider_that_is_not_configured_waits(harness: Harness) -> None:
    job_id = await harness.submitted("heygen")
    account = harness.accounts.pop("heygen")
    script = Script(RENDERED)
    await harness.poll_due(script)
    assert (script.requests, await harness.seconds_until_due("poll")) == ([], 60)
    assert harness.emitted.named("provider.not_configured") == [{"job": job_id, "provider": "heygen"}]
    harness.accounts["heygen"] = account
    harness.clock.pass_seconds(60)
    await harness.poll_due(script)
    assert (await harness.job(job_id)).state is JobState.COMPLETED


async def test_a_providers_warning_in_a_poll_is_emitted(harness: Harness) -> None:
    await harness.submitted("heygen")
    await harness.poll_due(Script(response(200, {"data": {"status": "pending"}}, deprecation="true")))
    assert [event["provider"] for event in harness.emitted.named("provider.warning_received")] == ["heygen"]


async def test_an_outcome_that_was_read_is_recorded_even_if_the_task_is_cancelled(harness: Harness) -> None:
    job_id = await harness.submitted("heygen")
    [task] = await harness.due("poll")
    handling: list[asyncio.Task[None]] = []

    async def reply(_: Request) -> Response:
        asyncio.get_running_loop().call_soon(handling[0].cancel)  # while the outcome is being recorded
        return RENDERED

    handling.append(asyncio.ensure_future(harness.poller(Script(reply)).handle(task)))
    with pytest.raises(asyncio.CancelledError):
        await handling[0]
    await until(lambda: harness.emitted.named("poll.recorded"))
    assert (await harness.job(job_id)).state is JobState.COMPLETED
