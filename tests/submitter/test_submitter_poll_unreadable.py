"""Results that are unusual, unreadable or too long: each job ends with what was seen, and with a receipt."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ledger.records import Fault, JobState
from providers.http import TooLong
from submitter.poll import UNREADABLE_TRIES
from tests.database import ON_BOTH_DATABASES
from tests.providers.written_json import values, writers
from tests.submitter.harness import Harness, Script, response

COMPLETED = response(200, {"status": "COMPLETED"})
PAGE = response(200, b"<html>Sign in</html>")
URL = "https://v3b.fal.media/files/a/b.mp4"


@ON_BOTH_DATABASES
@pytest.mark.parametrize(
    "result",
    [
        b'\xef\xbb\xbf{"a":NaN,"b":1e400,"c":"\\ud800","video":{"url":"%s"}}',
        b"[" * 5000 + b'{"url":"%s"}' + b"]" * 5000,
        b'{"n":[' + b"1e300," * 100_000 + b'0],"video":{"url":"%s"}}',
        b'{"video_url":"%s"}',
    ],
    ids=["unusual", "deep", "long", "a bare URL"],
)
async def test_an_unusual_result_completes_the_job_with_its_file(harness: Harness, result: bytes) -> None:
    body = result.replace(b"%s", URL.encode())
    job_id = await harness.submitted()
    await harness.poll_due(Script(COMPLETED, response(200, body)))
    job = await harness.job(job_id)
    assert (job.state, [output.url for output in job.outputs]) == (JobState.COMPLETED, [URL])
    [receipt] = await harness.receipts(job_id)
    assert receipt.body == body


@ON_BOTH_DATABASES
async def test_a_result_that_stays_unreadable_fails_the_job_with_the_receipt_that_has_it(harness: Harness) -> None:
    job_id = await harness.submitted()
    for _ in range(UNREADABLE_TRIES):
        await harness.poll_due(Script(COMPLETED, PAGE))
        assert (await harness.job(job_id)).state is JobState.SUBMITTED
        harness.clock.pass_seconds(await harness.seconds_until_due("poll") or 0)
    await harness.poll_due(Script(COMPLETED, PAGE))
    job = await harness.job(job_id)
    [receipt] = await harness.receipts(job_id)
    assert (receipt.body, receipt.result, receipt.source) == (PAGE.body, "recorded", "poll")
    assert job.error is not None
    assert (job.state, job.error.fault, job.error.code) == (JobState.FAILED, Fault.PROVIDER, "unreadable")
    assert job.error.message == (
        f"fal answered HTTP 200 with 20 bytes that are not the result; the receipt {receipt.id} has them"
    )
    assert {event["code"] for event in harness.emitted.named("poll.failed")} == {"unreadable"}


async def test_a_result_that_becomes_readable_is_recorded(harness: Harness) -> None:
    job_id = await harness.submitted()
    for _ in range(UNREADABLE_TRIES):
        await harness.poll_due(Script(COMPLETED, PAGE))
        harness.clock.pass_seconds(await harness.seconds_until_due("poll") or 0)
    await harness.poll_due(Script(COMPLETED, response(200, {"video": {"url": URL}})))
    assert (await harness.job(job_id)).state is JobState.COMPLETED


@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_a_status_that_stays_unreadable_expires_the_job_with_the_receipt_that_has_it(
    harness: Harness, provider: str
) -> None:
    job_id = await harness.submitted(provider)
    for _ in range(2 * UNREADABLE_TRIES):
        await harness.poll_due(Script(PAGE))
        assert (await harness.job(job_id)).state is JobState.SUBMITTED
        harness.clock.pass_seconds(await harness.seconds_until_due("poll") or 0)
    harness.clock.pass_seconds(2 * 86_400)
    await harness.poll_due(Script(PAGE))
    job = await harness.job(job_id)
    [receipt] = await harness.receipts(job_id)
    assert job.error is not None
    assert (job.state, job.error.code) == (JobState.EXPIRED, "unreadable")
    assert f"bytes that are not the status of the job; the receipt {receipt.id} has them" in job.error.message
    assert [event["code"] for event in harness.emitted.named("job.expired")] == ["unreadable"]


@ON_BOTH_DATABASES
async def test_a_result_longer_than_the_limit_fails_the_job_with_setting_and_url(harness: Harness) -> None:
    job_id = await harness.submitted("fal", "r")
    await harness.poll_due(Script(COMPLETED, TooLong(200, 1000)))
    job = await harness.job(job_id)
    assert job.error is not None
    assert (job.state, job.error.fault, job.error.code) == (JobState.FAILED, Fault.RENDERHOOK, "result_too_long")
    assert job.error.message == (
        "fal answered HTTP 200 with more than 1000 bytes, the limit MAX_RESULT_BYTES; the result is at "
        "https://queue.fal.run/a/b/requests/r, with your key"
    )
    [receipt] = await harness.receipts(job_id)
    assert (receipt.body, receipt.headers) == (b"", '{"status":200,"longer_than":1000}')


async def test_a_page_longer_than_the_limit_says_nothing_about_the_job(harness: Harness) -> None:
    job_id = await harness.submitted()
    await harness.poll_due(Script(COMPLETED, TooLong(502, 1000)))
    assert (await harness.job(job_id)).state is JobState.SUBMITTED
    assert [event["code"] for event in harness.emitted.named("poll.failed")] == ["http_502"]


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(tree=values, write=writers)
async def test_a_result_of_any_writer_completes_the_job_with_its_file(
    harness: Harness, tree: object, write: Any
) -> None:
    for provider, replies in {
        "fal": (COMPLETED, response(200, write({"x": tree, "video": {"url": URL}}))),
        "heygen": (response(200, write({"data": {"status": "completed", "output": {"x": tree, "video_url": URL}}})),),
    }.items():
        job_id = await harness.submitted(provider, f"req-{len(harness.emitted)}")
        await harness.poll_due(Script(*replies))
        job = await harness.job(job_id)
        assert job.state is JobState.COMPLETED
        assert URL in [output.url for output in job.outputs]
        assert [receipt.body for receipt in await harness.receipts(job_id)] == [replies[-1].body]
