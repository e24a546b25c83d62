"""A callback that may be of another account ends a job only if its request is known, or if our key can poll it."""

import pytest

from ledger.records import JobState, Outcome
from ledger.requests import ProviderRequest
from providers.http import NeverSent, Response, Unread
from submitter.poll import NOT_FOUND_TRIES
from tests.database import ON_BOTH_DATABASES
from tests.submitter.harness import DONE, Harness, Script, accepted, response

pytestmark = ON_BOTH_DATABASES

VIDEO = response(200, {"video": {"url": "https://v3b.fal.media/files/a/b.mp4"}})
COMPLETED = response(200, {"status": "COMPLETED"})
NOT_FOUND = response(404, {"status": "NOT_FOUND"})
OUTCOMES = [DONE, None]


async def unconfirmed(harness: Harness) -> str:
    job_id = await harness.accept()
    await harness.submit_due(Script(Unread("hung up")))
    return job_id


async def submitting(harness: Harness) -> str:
    job_id = await harness.accept()
    await harness.due("submit")
    await harness.claim(job_id)
    return job_id


WAYS = {"accepted": Harness.accept, "submitting": submitting, "unconfirmed": unconfirmed}


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["outcome", "no outcome"])
@pytest.mark.parametrize("state", WAYS)
async def test_a_foreign_request_does_not_end_a_job_whose_request_is_not_known(
    state: str, outcome: Outcome | None, harness: Harness
) -> None:
    job_id = await WAYS[state](harness)  # type: ignore[operator]  # each takes the harness alone
    before = await harness.job(job_id)
    assert await harness.call_back(job_id, "foreign", outcome, ours=False) == "pending"
    script = Script(NOT_FOUND)
    while (seconds := await harness.seconds_until_due("poll")) is not None:
        harness.clock.pass_seconds(seconds)
        await harness.poll_due(script)
    assert {request.url for request in script.requests} == {"https://queue.fal.run/a/b/requests/foreign/status"}
    assert len(script.requests) == NOT_FOUND_TRIES + 1
    assert await harness.job(job_id) == before
    [event] = harness.emitted.named("callback.disproved")
    assert (event["job"], event["request"]) == (job_id, "foreign")


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["outcome", "no outcome"])
@pytest.mark.parametrize("state", WAYS)
async def test_a_request_that_our_key_can_poll_ends_the_job(
    state: str, outcome: Outcome | None, harness: Harness
) -> None:
    job_id = await WAYS[state](harness)  # type: ignore[operator]  # each takes the harness alone
    await harness.call_back(job_id, "req-1", outcome, ours=False)
    await harness.poll_due(Script(COMPLETED, VIDEO))
    job = await harness.job(job_id)
    assert (job.state, job.source, job.provider_request_id) == (JobState.COMPLETED, "poll", "req-1")
    assert [receipt.result for receipt in await harness.receipts(job_id)] == ["pending", "recorded"]
    assert await harness.seconds_until_due("poll") is None
    assert await harness.seconds_until_due("submit") is None


async def test_a_foreign_request_hides_no_other(harness: Harness) -> None:
    job_id = await unconfirmed(harness)
    for request_id in ("foreign", "req-1"):
        await harness.call_back(job_id, request_id, ours=False)
    await harness.poll_due(Script(NOT_FOUND, COMPLETED, VIDEO))
    assert (await harness.job(job_id)).provider_request_id == "req-1"


@pytest.mark.parametrize(
    "replies",
    [[response(202, {"status": "IN_PROGRESS"})], [COMPLETED, response(200, b"<html>")]],
    ids=["running", "its result is unreadable"],
)
async def test_a_request_that_our_key_finds_and_that_has_no_outcome_yet_becomes_the_jobs(
    replies: list[Response], harness: Harness
) -> None:
    job_id = await unconfirmed(harness)
    await harness.call_back(job_id, "req-1", None, ours=False)
    await harness.poll_due(Script(*replies))
    job = await harness.job(job_id)
    assert (job.state, job.provider_request_id) == (JobState.SUBMITTED, "req-1")
    harness.clock.pass_seconds(await harness.seconds_until_due("poll") or 0)
    await harness.poll_due(Script(COMPLETED, VIDEO))
    assert (await harness.job(job_id)).state is JobState.COMPLETED


@pytest.mark.parametrize(
    "reply",
    [NeverSent("refused"), response(503), response(401), NOT_FOUND, response(200, b"<html>")],
    ids=["unsent", "503", "401", "not known yet", "unreadable"],
)
async def test_a_poll_that_does_not_find_a_request_is_repeated(reply: object, harness: Harness) -> None:
    job_id = await unconfirmed(harness)
    await harness.call_back(job_id, "req-1", ours=False)
    await harness.poll_due(Script(reply))  # type: ignore[arg-type]  # a reply of either kind
    assert (await harness.job(job_id)).state is JobState.UNCONFIRMED
    harness.clock.pass_seconds(await harness.seconds_until_due("poll") or 0)
    await harness.poll_due(Script(COMPLETED, VIDEO))
    assert (await harness.job(job_id)).state is JobState.COMPLETED


@pytest.mark.parametrize("outcome", OUTCOMES, ids=["outcome", "no outcome"])
async def test_a_request_that_we_know_needs_no_poll_to_be_believed(outcome: Outcome | None, harness: Harness) -> None:
    job_id = await harness.submitted(request_id="req-1")
    result = await harness.call_back(job_id, "req-1", outcome, ours=False)
    assert result == ("recorded" if outcome else "pending")
    if outcome is None:
        await harness.poll_due(Script(COMPLETED, VIDEO))
    assert (await harness.job(job_id)).state is JobState.COMPLETED


async def test_a_foreign_request_of_a_known_job_is_a_conflict(harness: Harness) -> None:
    job_id = await harness.submitted(request_id="req-1")
    assert await harness.call_back(job_id, "foreign", ours=False) == "conflict"
    assert (await harness.job(job_id)).state is JobState.SUBMITTED


async def test_a_request_of_another_job_is_not_kept(harness: Harness) -> None:
    await harness.submitted(request_id="req-1")
    job_id = await unconfirmed(harness)
    assert await harness.call_back(job_id, "req-1", ours=False) == "foreign"
    assert await harness.receipts(job_id) == []


async def test_the_first_request_ends_a_job_that_was_submitted_again_only_if_our_key_can_poll_it(
    harness: Harness,
) -> None:
    harness.resubmit = 1_000
    job_id = await unconfirmed(harness)
    harness.clock.pass_seconds(1)
    await harness.submit_due(Script(accepted("req-2")))
    assert await harness.call_back(job_id, "foreign", ours=False) == "pending"
    await harness.poll_due(Script(NOT_FOUND, response(202, {"status": "IN_QUEUE"})))
    assert ((await harness.job(job_id)).state, harness.emitted.named("job.expired")) == (JobState.SUBMITTED, [])
    assert await harness.call_back(job_id, "req-1", ours=False) == "pending"
    await harness.poll_due(Script(NOT_FOUND, COMPLETED, VIDEO))
    job = await harness.job(job_id)
    assert (job.state, job.provider_request_id) == (JobState.COMPLETED, "req-1")


async def test_a_response_that_is_recorded_while_a_foreign_request_is_polled_is_polled_in_its_turn(
    harness: Harness,
) -> None:
    job_id = await submitting(harness)
    await harness.call_back(job_id, "foreign", ours=False)

    async def reply(_: object) -> object:
        poll_at = harness.clock() + 60_000
        assert await harness.ledger.confirm(job_id, "fal", ProviderRequest(request_id="req-1"), poll_at=poll_at)
        return NOT_FOUND

    await harness.poll_due(Script(reply))  # type: ignore[arg-type]  # a reply of the script
    assert 40 <= (await harness.seconds_until_due("poll") or 0) <= 80
