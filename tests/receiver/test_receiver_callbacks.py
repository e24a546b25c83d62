"""Verified callbacks: recorded, and only then answered, with the result of recording."""

import msgspec
import pytest

from ledger.records import JobState
from ledger.transitions import jobs
from providers.fal.callbacks import read_headers, verify_signature
from tests.receiver.conftest import MakeHouse
from tests.receiver.house import SENT, House, callback_body, raw, until

FAILED = callback_body(status="ERROR", payload={"detail": "no face"}, error="Unexpected status code: 422")


async def test_a_verified_callback_is_recorded_and_then_answered(house: House) -> None:
    job_id = await house.story.submit()
    response = await house.call_back(job_id)
    assert (response.status_code, response.json()) == (200, {"result": "recorded"})
    job = await house.story.job(job_id)
    assert (job.state, job.source, job.outputs[0].file_size) == (JobState.COMPLETED, "callback", 7)
    [fact] = house.heard.named("callback.recorded")
    assert (fact["job"], fact["request"], fact["state"]) == (job_id, "req-1", "completed")
    assert house.counted("callback.recorded", provider="fal", state="completed", result="recorded") == 1


async def test_the_receipt_has_the_raw_bytes_and_can_be_verified_again(house: House) -> None:
    job_id = await house.story.submit()
    body = b"  " + callback_body() + b"\n"
    await house.call_back(job_id, body)
    [receipt] = await jobs.list_receipts(house.store, job_id)
    assert (receipt.body, receipt.source, receipt.result) == (body, "callback", "recorded")
    kept = read_headers(raw(msgspec.json.decode(receipt.headers).items()))
    verify_signature(kept, receipt.body, [house.fal.key.verify_key])


@pytest.mark.parametrize("age", [-300, 0, 300])
async def test_a_timestamp_within_300_seconds_is_accepted(house: House, age: int) -> None:
    job_id = await house.story.submit()
    assert (await house.call_back(job_id, timestamp=SENT - age)).status_code == 200


async def test_a_trailing_slash_is_the_same_address(house: House) -> None:
    job_id = await house.story.submit()
    body = callback_body()
    path = f"/callbacks/fal/{house.tokens.sign(job_id)}/"
    response = await house.http.post(path, content=body, headers=house.fal.sign(body), follow_redirects=False)
    assert (response.status_code, response.json()["result"]) == (200, "recorded")


async def test_without_a_configured_account_any_account_is_accepted(make_house: MakeHouse) -> None:
    house = make_house(FAL_WEBHOOK_USER_ID="")
    job_id = await house.story.submit()
    assert (await house.call_back(job_id, user_id="user-2")).json()["result"] == "recorded"


async def test_the_same_outcome_again_is_a_duplicate_and_answered_200(house: House) -> None:
    job_id = await house.story.submit()
    await house.call_back(job_id)
    before = await house.story.job(job_id)
    again = await house.call_back(job_id)
    assert (again.status_code, again.json()["result"]) == (200, "duplicate")
    assert await house.story.job(job_id) == before
    assert [each.result for each in await jobs.list_receipts(house.store, job_id)] == ["recorded", "duplicate"]


async def test_another_outcome_is_a_conflict_and_the_first_stands(house: House) -> None:
    job_id = await house.story.submit()
    await house.call_back(job_id)
    late = await house.call_back(job_id, FAILED)
    assert (late.status_code, late.json()["result"]) == (200, "conflict")
    assert (await house.story.job(job_id)).state is JobState.COMPLETED
    assert (await jobs.list_receipts(house.store, job_id))[-1].body == FAILED
    assert house.counted("callback.recorded", provider="fal", state="failed", result="conflict") == 1


async def test_a_callback_for_an_unknown_job_is_an_orphan(house: House) -> None:
    response = await house.call_back("job_of_a_lost_disk")
    assert (response.status_code, response.json()["result"]) == (200, "orphan")
    [receipt] = await jobs.list_receipts(house.store, "job_of_a_lost_disk")
    assert (receipt.result, receipt.body) == ("orphan", callback_body())
    kept = read_headers(raw(msgspec.json.decode(receipt.headers).items()))
    verify_signature(kept, receipt.body, [house.fal.key.verify_key])
    assert house.counted("callback.recorded", provider="fal", state="completed", result="orphan") == 1


async def test_a_callback_before_the_submissions_response_sets_the_request_id(house: House) -> None:
    job_id = await house.story.accept()
    await house.story.begin(job_id)
    assert (await house.call_back(job_id)).json()["result"] == "recorded"
    job = await house.story.job(job_id)
    assert (job.state, job.provider_request_id) == (JobState.COMPLETED, "req-1")


async def test_a_failure_is_recorded(house: House) -> None:
    job_id = await house.story.submit()
    assert (await house.call_back(job_id, FAILED)).json()["result"] == "recorded"
    job = await house.story.job(job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None


async def test_ok_without_a_payload_is_pending_and_a_poll_is_due_at_once(house: House) -> None:
    job_id = await house.story.submit()
    response = await house.call_back(job_id, callback_body(payload=None))
    assert (response.status_code, response.json()["result"]) == (200, "pending")
    assert (await house.story.job(job_id)).state is JobState.SUBMITTED
    assert [task.subject for task in await house.story.fetch("poll", at=3)] == [job_id]


async def test_unavailable_keys_are_503_so_that_fal_retries(house: House) -> None:
    job_id = await house.story.submit()
    before = await house.dump()
    house.fal.down = True
    response = await house.call_back(job_id)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert await house.dump() == before
    assert [fact["reason"] for fact in house.heard.named("callback.deferred")] == ["keys_unavailable"]
    assert house.counted("callback.deferred", provider="fal", reason="keys_unavailable") == 1
    house.fal.down = False
    house.clock.pass_seconds(3)
    assert (await house.call_back(job_id)).json()["result"] == "recorded"


async def test_stale_keys_are_used_while_fal_cannot_be_reached(house: House) -> None:
    job_id = await house.story.submit()
    await house.keys.prefetch()
    house.clock.pass_seconds(25 * 3600)
    house.fal.down = True
    assert (await house.call_back(job_id)).json()["result"] == "recorded"
    assert len(house.heard.named("keys.fetch_failed")) == 1


async def test_a_callback_after_twelve_hours_starts_a_fetch_of_keys_without_waiting_for_it(house: House) -> None:
    job_id = await house.story.submit()
    await house.keys.prefetch()
    for hours, fetches in ((11, 1), (1, 2), (11, 2), (1, 3)):
        house.clock.pass_seconds(hours * 3600)
        assert (await house.call_back(job_id)).status_code == 200
        await until(lambda fetches=fetches: house.fal.fetches == fetches)  # type: ignore[misc]  # bound now, not later


async def test_a_rotated_key_is_fetched_once_and_accepted(house: House) -> None:
    job_id = await house.story.submit()
    await house.keys.prefetch()
    house.clock.pass_seconds(61)
    house.fal.rotate()
    assert (await house.call_back(job_id)).json()["result"] == "recorded"
    assert (await house.call_back(job_id)).json()["result"] == "duplicate"
    assert house.fal.fetches == 2


async def test_an_unavailable_database_is_503_and_never_200(house: House) -> None:
    job_id = await house.story.submit()
    await house.store.close()
    response = await house.call_back(job_id)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert house.counted("callback.deferred", provider="fal", reason="database_unavailable") == 1
    assert [fact["reason"] for fact in house.heard.named("callback.deferred")] == ["database_unavailable"]
