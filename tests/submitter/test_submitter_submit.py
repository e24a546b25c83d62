"""Every result of a submission becomes a state, a history, a task and an event."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from ledger.records import Fault, JobState
from providers.http import NeverSent, Request, Response, Unread
from tests.database import ON_BOTH_DATABASES
from tests.submitter.harness import TOKENS, Harness, Script, accepted, fal_account, response

pytestmark = ON_BOTH_DATABASES


async def test_an_accepted_submission_makes_the_job_submitted_and_schedules_its_first_poll(harness: Harness) -> None:
    job_id = await harness.accept()
    urls = {name: f"https://queue.fal.run/a/b/requests/r/{name}" for name in ("status_url", "cancel_url")}
    script = Script(response(200, {"request_id": "r", "response_url": "https://evil.example/r"} | urls))
    assert await harness.submit_due(script) == 1
    job = await harness.job(job_id)
    assert (job.state, job.provider_request_id, job.submissions) == (JobState.SUBMITTED, "r", 1)
    assert (job.status_url, job.cancel_url) == (urls["status_url"], urls["cancel_url"])
    assert job.response_url is None  # elsewhere than where our key may go
    assert await harness.events(job_id) == ["job.accepted", "job.submitted"]
    assert await harness.seconds_until_due("submit") is None
    assert 48 <= (await harness.seconds_until_due("poll") or 0) <= 72
    assert harness.emitted == [("job.submitted", {"job": job_id, "provider": "fal", "request": "r"})]


@pytest.mark.parametrize(
    ("provider", "refusal", "fault"),
    [
        (
            "fal",
            response(422, {"detail": [{"type": "image_load_error", "msg": "no", "loc": ["body", "x"]}]}),
            Fault.INPUT,
        ),
        ("fal", response(403, {"detail": "You have no access to this application"}), Fault.ACCOUNT),
        ("fal", response(404, {"detail": "Application 'a/b' not found"}), Fault.INPUT),
        ("fal", response(307, b"", location="https://elsewhere.example"), Fault.RENDERHOOK),
        ("heygen", response(400, {"error": {"code": "invalid_parameter", "message": "no"}}), Fault.INPUT),
        ("heygen", response(200, {"error": "insufficient credit"}), None),
        ("heygen", response(410, b"<h1>Gone</h1>"), Fault.RENDERHOOK),
    ],
)
async def test_a_refused_job_fails(provider: str, refusal: Response, fault: Fault | None, harness: Harness) -> None:
    job_id = await harness.accept(provider)
    await harness.submit_due(Script(refusal))
    job = await harness.job(job_id)
    assert (job.state, job.submissions, job.source) == (JobState.FAILED, 0, None)
    assert job.error is not None
    assert fault is None or job.error.fault is fault
    assert await harness.events(job_id) == ["job.accepted", "job.failed"]
    assert await harness.seconds_until_due("submit") is None
    why = {"fault": job.error.fault, "code": job.error.code, "message": job.error.message}
    assert harness.emitted.named("job.failed") == [{"job": job_id, "provider": provider, "source": "submission"} | why]


@pytest.mark.parametrize(
    "reply",
    [NeverSent("refused"), response(429), response(503, b"busy"), response(500), response(409)],
    ids=["never sent", "429", "503", "500", "409"],
)
@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_a_job_that_was_not_taken_returns_to_accepted_and_is_submitted_again(
    provider: str, reply: Response | NeverSent, harness: Harness
) -> None:
    job_id = await harness.accept(provider)
    script = Script(reply, accepted())
    await harness.submit_due(script)
    job = await harness.job(job_id)
    assert (job.state, job.submissions) == (JobState.ACCEPTED, 0)
    assert await harness.events(job_id) == ["job.accepted"]
    [event] = harness.emitted.named("job.submit_rescheduled")
    assert (event["job"], event["tries"]) == (job_id, 1)
    harness.clock.pass_seconds(1.2)
    assert await harness.submit_due(script) == 1
    assert (await harness.job(job_id)).state is JobState.SUBMITTED
    assert len(script.requests) == 2


async def test_the_delay_grows_with_every_try(harness: Harness) -> None:
    await harness.accept()
    waits = []
    for _ in range(8):
        assert await harness.submit_due(Script(response(503))) == 1
        waits.append(await harness.seconds_until_due("submit") or 0)
        harness.clock.pass_seconds(waits[-1])
    expected = (1, 2, 5, 10, 20, 40, 60, 60)
    assert all(0.8 * mean <= wait <= 1.2 * mean for wait, mean in zip(waits, expected, strict=True))
    assert [event["tries"] for event in harness.emitted.named("job.submit_rescheduled")] == list(range(1, 9))


@pytest.mark.parametrize(("asked", "least", "most"), [("30", 30, 30), ("0", 0.8, 1.2), ("999999", 3600, 3600)])
async def test_retry_after_is_the_shortest_delay(asked: str, least: float, most: float, harness: Harness) -> None:
    await harness.accept()
    await harness.submit_due(Script(response(429, retry_after=asked)))
    assert least <= (await harness.seconds_until_due("submit") or -1) <= most


async def test_a_job_that_is_not_taken_in_the_time_allowed_fails_with_the_last_error(harness: Harness) -> None:
    job_id = await harness.accept()
    harness.clock.pass_seconds(3599)
    await harness.submit_due(Script(response(503)))
    assert (await harness.job(job_id)).state is JobState.ACCEPTED
    harness.clock.pass_seconds(2)
    await harness.submit_due(Script(NeverSent("no such host")))
    job = await harness.job(job_id)
    assert (job.state, job.error and job.error.code) == (JobState.FAILED, "never_sent")
    assert job.error
    assert "no such host" in job.error.message
    assert await harness.seconds_until_due("submit") is None


async def test_without_an_account_a_job_fails_and_names_the_setting(harness: Harness) -> None:
    harness.accounts = {}
    script = Script(accepted())
    for provider, setting in (("fal", "FAL_KEY"), ("heygen", "HEYGEN_API_KEY")):
        job_id = await harness.accept(provider)
        await harness.submit_due(script)
        job = await harness.job(job_id)
        assert (job.state, job.error and job.error.fault) == (JobState.FAILED, Fault.RENDERHOOK)
        assert job.error
        assert setting in job.error.message
    assert script.requests == []


async def test_the_webhook_url_holds_a_token_that_names_the_job(harness: Harness) -> None:
    job_id = await harness.accept()
    script = Script(accepted())
    await harness.submit_due(script)
    [webhook] = parse_qs(urlsplit(script.requests[0].url).query)["fal_webhook"]
    prefix, _, token = webhook.rpartition("/")
    assert prefix == "https://hooks.example/callbacks/fal"
    assert TOKENS.job_id(token) == job_id


async def test_without_a_public_url_there_is_no_webhook_and_the_first_poll_is_soon(harness: Harness) -> None:
    harness.accounts["fal"] = fal_account(calls_back=False)
    await harness.accept()
    script = Script(accepted())
    await harness.submit_due(script)
    assert script.requests[0].url == "https://queue.fal.run/a/b"
    assert 4 <= (await harness.seconds_until_due("poll") or 0) <= 6


async def test_a_providers_warning_in_a_submission_is_emitted(harness: Harness) -> None:
    job_id = await harness.accept("heygen")
    await harness.submit_due(
        Script(response(200, {"data": {"execution_id": "e"}}, sunset="Sat, 31 Oct 2026 00:00:00 GMT"))
    )
    [event] = harness.emitted.named("provider.warning_received")
    assert event["provider"] == "heygen"
    assert "31 Oct 2026" in str(event["warning"])
    assert (await harness.job(job_id)).state is JobState.SUBMITTED


async def test_the_task_of_a_submitted_job_is_finished_without_a_request(harness: Harness) -> None:
    job_id = await harness.accept()
    [task] = await harness.due("submit")
    script = Script(accepted("one"))
    submitter = harness.submitter(script)
    await submitter.handle(task)
    await submitter.handle(task)
    assert len(script.requests) == 1
    assert (await harness.job(job_id)).provider_request_id == "one"


async def test_two_workers_with_one_job_send_one_request(harness: Harness) -> None:
    job_id = await harness.accept()
    [task] = await harness.due("submit")
    gate = asyncio.Event()

    async def slow(_: Request) -> Response:
        await gate.wait()
        return accepted()

    script = Script(slow)
    first = asyncio.ensure_future(harness.submitter(script).handle(task))
    second = asyncio.ensure_future(harness.submitter(script).handle(task))
    await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    gate.set()
    await asyncio.gather(first, second)
    assert len(script.requests) == 1
    assert (await harness.job(job_id)).submissions == 1


async def test_no_event_contains_a_key(harness: Harness) -> None:
    for provider in ("fal", "heygen"):
        for reply in (NeverSent("x"), Unread("y"), response(401), response(503)):
            await harness.accept(provider)
            await harness.submit_due(Script(reply))
    assert harness.emitted
    assert "kid:secret" not in repr(harness.emitted)
    assert "hg-key" not in repr(harness.emitted)


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example/a/b/requests/r/status",
        "http://queue.fal.run/a/b/requests/r/status",
        "https://queue.fal.run:444/a",
        "https://queue.fal.run@evil.example/a",
        "https://queue.fal.run.evil.example/a",
        "//evil.example/a",
        "file:///etc/passwd",
        7,
    ],
)
async def test_a_url_of_another_origin_is_not_sent_our_key(url: object, harness: Harness) -> None:
    await harness.accept()
    body = {"request_id": "r", "status_url": url, "response_url": url, "cancel_url": url}
    await harness.submit_due(Script(response(200, body)))
    harness.clock.pass_seconds(100)
    script = Script(
        response(200, {"status": "COMPLETED"}), response(200, {"video": {"url": "https://v3b.fal.media/a.mp4"}})
    )
    assert await harness.poll_due(script) == 1
    assert [request.url for request in script.requests] == [
        "https://queue.fal.run/a/b/requests/r/status",
        "https://queue.fal.run/a/b/requests/r",
    ]
