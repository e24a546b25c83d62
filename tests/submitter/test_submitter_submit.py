"""Every verdict on a submission becomes a state, an event, a turn in the queue, and a fact."""

import asyncio
from urllib.parse import parse_qs, urlsplit

import pytest

from ledger.records import Fault, JobState
from providers.http import NeverSent, Request, Response, Unread
from tests.submitter.desk import TOKENS, Desk, Script, answer, fal_account, taken


async def test_a_job_that_is_taken_is_submitted_and_its_first_look_is_due(desk: Desk) -> None:
    job_id = await desk.accept()
    urls = {name: f"https://queue.fal.run/a/b/requests/r/{name}" for name in ("status_url", "cancel_url")}
    script = Script(answer(200, {"request_id": "r", "response_url": "https://evil.example/r"} | urls))
    assert await desk.submit(script) == 1
    job = await desk.job(job_id)
    assert (job.state, job.provider_request_id, job.submissions) == (JobState.SUBMITTED, "r", 1)
    assert (job.status_url, job.cancel_url) == (urls["status_url"], urls["cancel_url"])
    assert job.response_url is None  # elsewhere than where our key may go
    assert await desk.events(job_id) == ["job.accepted", "job.submitted"]
    assert await desk.seconds_until_due("submit") is None
    assert 48 <= (await desk.seconds_until_due("poll") or 0) <= 72
    assert desk.heard == [("job.submitted", {"job": job_id, "provider": "fal", "request": "r"})]


@pytest.mark.parametrize(
    ("provider", "refusal", "fault"),
    [
        (
            "fal",
            answer(422, {"detail": [{"type": "image_load_error", "msg": "no", "loc": ["body", "x"]}]}),
            Fault.INPUT,
        ),
        ("fal", answer(401, {"detail": "Invalid key"}), Fault.ACCOUNT),
        ("fal", answer(404, {"detail": "Application 'a/b' not found"}), Fault.INPUT),
        ("fal", answer(307, b"", location="https://elsewhere.example"), Fault.US),
        ("heygen", answer(400, {"error": {"code": "invalid_parameter", "message": "no"}}), Fault.INPUT),
        ("heygen", answer(200, {"error": "insufficient credit"}), None),
        ("heygen", answer(410, b"<h1>Gone</h1>"), Fault.US),
    ],
)
async def test_a_refused_job_fails_once_and_for_good(
    provider: str, refusal: Response, fault: Fault | None, desk: Desk
) -> None:
    job_id = await desk.accept(provider)  # type: ignore[arg-type]
    await desk.submit(Script(refusal))
    job = await desk.job(job_id)
    assert (job.state, job.submissions, job.source) == (JobState.FAILED, 0, None)
    assert job.error is not None
    assert fault is None or job.error.fault is fault
    assert await desk.events(job_id) == ["job.accepted", "job.failed"]
    assert await desk.seconds_until_due("submit") is None
    [fact] = desk.heard.named("job.refused")
    assert (fact["job"], fact["code"]) == (job_id, job.error.code)


@pytest.mark.parametrize(
    "reply",
    [NeverSent("refused"), answer(429), answer(503, b"busy"), answer(500), answer(409)],
    ids=["never sent", "429", "503", "500", "409"],
)
@pytest.mark.parametrize("provider", ["fal", "heygen"])
async def test_a_job_that_was_not_taken_is_accepted_again_and_asked_again(
    provider: str, reply: Response | NeverSent, desk: Desk
) -> None:
    job_id = await desk.accept(provider)  # type: ignore[arg-type]
    script = Script(reply, taken())
    await desk.submit(script)
    job = await desk.job(job_id)
    assert (job.state, job.submissions) == (JobState.ACCEPTED, 0)
    assert await desk.events(job_id) == ["job.accepted"]
    [fact] = desk.heard.named("job.submit_rescheduled")
    assert (fact["job"], fact["tries"]) == (job_id, 1)
    desk.clock.pass_seconds(1.2)
    assert await desk.submit(script) == 1
    assert (await desk.job(job_id)).state is JobState.SUBMITTED
    assert len(script.asked) == 2


async def test_the_wait_grows_with_every_refusal_to_take_it(desk: Desk) -> None:
    await desk.accept()
    waits = []
    for _ in range(8):
        assert await desk.submit(Script(answer(503))) == 1
        waits.append(await desk.seconds_until_due("submit") or 0)
        desk.clock.pass_seconds(waits[-1])
    expected = (1, 2, 5, 10, 20, 40, 60, 60)
    assert all(0.8 * mean <= wait <= 1.2 * mean for wait, mean in zip(waits, expected, strict=True))
    assert [fact["tries"] for fact in desk.heard.named("job.submit_rescheduled")] == list(range(1, 9))


@pytest.mark.parametrize(("asked", "least", "most"), [("30", 30, 30), ("0", 0.8, 1.2), ("999999", 3600, 3600)])
async def test_retry_after_is_the_shortest_wait(asked: str, least: float, most: float, desk: Desk) -> None:
    await desk.accept()
    await desk.submit(Script(answer(429, retry_after=asked)))
    assert least <= (await desk.seconds_until_due("submit") or -1) <= most


async def test_a_job_that_nobody_takes_in_the_time_allowed_fails_with_the_last_reason(desk: Desk) -> None:
    job_id = await desk.accept()
    desk.clock.pass_seconds(3599)
    await desk.submit(Script(answer(503)))
    assert (await desk.job(job_id)).state is JobState.ACCEPTED
    desk.clock.pass_seconds(2)
    await desk.submit(Script(NeverSent("no such host")))
    job = await desk.job(job_id)
    assert (job.state, job.error and job.error.code) == (JobState.FAILED, "never_sent")
    assert job.error
    assert "no such host" in job.error.message
    assert await desk.seconds_until_due("submit") is None


async def test_without_an_account_a_job_fails_and_names_the_setting(desk: Desk) -> None:
    desk.accounts = {}
    script = Script(taken())
    for provider, setting in (("fal", "FAL_KEY"), ("heygen", "HEYGEN_API_KEY")):
        job_id = await desk.accept(provider)  # type: ignore[arg-type]
        await desk.submit(script)
        job = await desk.job(job_id)
        assert (job.state, job.error and job.error.fault) == (JobState.FAILED, Fault.US)
        assert job.error
        assert setting in job.error.message
    assert script.asked == []


async def test_the_webhook_url_holds_a_token_that_names_the_job(desk: Desk) -> None:
    job_id = await desk.accept()
    script = Script(taken())
    await desk.submit(script)
    [webhook] = parse_qs(urlsplit(script.asked[0].url).query)["fal_webhook"]
    prefix, _, token = webhook.rpartition("/")
    assert prefix == "https://hooks.example/callbacks/fal"
    assert TOKENS.job_id(token) == job_id


async def test_without_a_public_url_there_is_no_webhook_and_the_first_look_comes_soon(desk: Desk) -> None:
    desk.accounts["fal"] = fal_account(calls_back=False)
    await desk.accept()
    script = Script(taken())
    await desk.submit(script)
    assert script.asked[0].url == "https://queue.fal.run/a/b"
    assert 4 <= (await desk.seconds_until_due("poll") or 0) <= 6


async def test_an_announced_end_of_the_api_is_passed_on_as_a_warning(desk: Desk) -> None:
    job_id = await desk.accept("heygen")
    await desk.submit(Script(answer(200, {"data": {"execution_id": "e"}}, sunset="Sat, 31 Oct 2026 00:00:00 GMT")))
    [fact] = desk.heard.named("provider.warning_received")
    assert fact["provider"] == "heygen"
    assert "31 Oct 2026" in str(fact["warning"])
    assert (await desk.job(job_id)).state is JobState.SUBMITTED


async def test_a_job_that_moved_on_is_taken_off_the_queue_without_asking(desk: Desk) -> None:
    job_id = await desk.accept()
    [task] = await desk.due("submit")
    script = Script(taken("one"))
    submitter = desk.submitter(script)
    await submitter.handle(task)
    await submitter.handle(task)
    assert len(script.asked) == 1
    assert (await desk.job(job_id)).provider_request_id == "one"


async def test_two_workers_with_one_job_ask_once(desk: Desk) -> None:
    job_id = await desk.accept()
    [task] = await desk.due("submit")
    gate = asyncio.Event()

    async def slow(_: Request) -> Response:
        await gate.wait()
        return taken()

    script = Script(slow)
    first = asyncio.ensure_future(desk.submitter(script).handle(task))
    second = asyncio.ensure_future(desk.submitter(script).handle(task))
    await asyncio.wait({first, second}, return_when=asyncio.FIRST_COMPLETED)
    gate.set()
    await asyncio.gather(first, second)
    assert len(script.asked) == 1
    assert (await desk.job(job_id)).submissions == 1


async def test_the_keys_are_in_no_fact(desk: Desk) -> None:
    for provider in ("fal", "heygen"):
        for reply in (NeverSent("x"), Unread("y"), answer(401), answer(503)):
            await desk.accept(provider)  # type: ignore[arg-type]
            await desk.submit(Script(reply))
    assert desk.heard
    assert "kid:secret" not in repr(desk.heard)
    assert "hg-key" not in repr(desk.heard)
