"""Verified callbacks: recorded, and only then answered, with the result of recording."""

import hashlib

import msgspec
import pytest

from ledger.records import JobState
from ledger.transitions import jobs
from providers.fal.callbacks import read_headers, verify_signature
from tests.database import ON_BOTH_DATABASES
from tests.receiver.conftest import MakeReceiver
from tests.receiver.harness import SENT, Receiver, callback_body, raw, until

pytestmark = ON_BOTH_DATABASES

FAILED = callback_body(status="ERROR", payload={"detail": "no face"}, error="Unexpected status code: 422")


async def test_a_verified_callback_is_recorded_and_then_answered(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    response = await receiver.call_back(job_id)
    assert (response.status_code, response.json()) == (200, {"result": "recorded"})
    job = await receiver.scenario.job(job_id)
    assert (job.state, job.source, job.outputs[0].file_size) == (JobState.COMPLETED, "callback", 7)
    [fact] = receiver.emitted.named("callback.recorded")
    assert (fact["job"], fact["request"], fact["state"]) == (job_id, "req-1", "completed")
    assert receiver.counted("callback.recorded", provider="fal", state="completed", result="recorded") == 1
    ended = {"job": job_id, "provider": "fal", "source": "callback", "request": "req-1"}
    assert receiver.emitted.named("job.completed") == [ended]


async def test_a_failure_is_one_event_with_its_fault_code_and_message(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    for _ in range(2):
        await receiver.call_back(job_id, FAILED)
    error = (await receiver.scenario.job(job_id)).error
    assert error is not None
    why = {"fault": error.fault, "code": error.code, "message": error.message}
    ended = {"job": job_id, "provider": "fal", "source": "callback", "request": "req-1"}
    assert receiver.emitted.named("job.failed") == [ended | why]


async def test_the_receipt_has_the_raw_bytes_and_can_be_verified_again(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    body = b"  " + callback_body() + b"\n"
    await receiver.call_back(job_id, body)
    [receipt] = await jobs.list_receipts(receiver.store, job_id)
    assert (receipt.body, receipt.source, receipt.result) == (body, "callback", "recorded")
    kept = read_headers(raw(msgspec.json.decode(receipt.headers).items()))
    verify_signature(kept, hashlib.sha256(receipt.body).hexdigest(), [receiver.fal.key.verify_key])


@pytest.mark.parametrize("age", [-300, 0, 300])
async def test_a_timestamp_within_300_seconds_is_accepted(receiver: Receiver, age: int) -> None:
    job_id = await receiver.scenario.submit()
    assert (await receiver.call_back(job_id, timestamp=SENT - age)).status_code == 200


async def test_a_trailing_slash_is_the_same_address(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    body = callback_body()
    path = f"/callbacks/fal/{receiver.tokens.sign(job_id)}/"
    response = await receiver.http.post(path, content=body, headers=receiver.fal.sign(body), follow_redirects=False)
    assert (response.status_code, response.json()["result"]) == (200, "recorded")


async def test_without_a_configured_account_a_callback_of_a_known_request_is_recorded(
    make_receiver: MakeReceiver,
) -> None:
    receiver = make_receiver(FAL_WEBHOOK_USER_ID="")
    job_id = await receiver.scenario.submit()
    assert (await receiver.call_back(job_id, user_id="user-2")).json()["result"] == "recorded"
    assert await receiver.scenario.fetch("poll", at=1) == []


@pytest.mark.parametrize("body", [callback_body(), FAILED, callback_body(payload=None), b"{"])
async def test_without_a_configured_account_a_callback_of_an_unknown_request_makes_a_poll_due(
    make_receiver: MakeReceiver, body: bytes
) -> None:
    receiver = make_receiver(FAL_WEBHOOK_USER_ID="")
    job_id = await receiver.scenario.accept()
    await receiver.scenario.begin(job_id)
    before = await receiver.scenario.job(job_id)
    response = await receiver.call_back(job_id, body, user_id="user-2")
    assert (response.status_code, response.json()["result"]) == (200, "pending")
    assert await receiver.scenario.job(job_id) == before
    [task] = await receiver.scenario.fetch("poll", at=1)
    assert task.subject == job_id


async def test_the_same_outcome_again_is_a_duplicate_and_answered_200(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    await receiver.call_back(job_id)
    before = await receiver.scenario.job(job_id)
    again = await receiver.call_back(job_id)
    assert (again.status_code, again.json()["result"]) == (200, "duplicate")
    assert await receiver.scenario.job(job_id) == before
    assert [each.result for each in await jobs.list_receipts(receiver.store, job_id)] == ["recorded", "duplicate"]


async def test_another_outcome_is_a_conflict_and_the_first_stands(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    await receiver.call_back(job_id)
    late = await receiver.call_back(job_id, FAILED)
    assert (late.status_code, late.json()["result"]) == (200, "conflict")
    assert (await receiver.scenario.job(job_id)).state is JobState.COMPLETED
    assert (await jobs.list_receipts(receiver.store, job_id))[-1].body == FAILED
    assert receiver.counted("callback.recorded", provider="fal", state="failed", result="conflict") == 1


async def test_a_callback_for_an_unknown_job_is_an_orphan(receiver: Receiver) -> None:
    response = await receiver.call_back("job_of_a_lost_disk")
    assert (response.status_code, response.json()["result"]) == (200, "orphan")
    [receipt] = await jobs.list_receipts(receiver.store, "job_of_a_lost_disk")
    assert (receipt.result, receipt.body) == ("orphan", callback_body())
    kept = read_headers(raw(msgspec.json.decode(receipt.headers).items()))
    verify_signature(kept, hashlib.sha256(receipt.body).hexdigest(), [receiver.fal.key.verify_key])
    assert receiver.counted("callback.recorded", provider="fal", state="completed", result="orphan") == 1


async def test_a_callback_before_the_submissions_response_sets_the_request_id(receiver: Receiver) -> None:
    job_id = await receiver.scenario.accept()
    await receiver.scenario.begin(job_id)
    assert (await receiver.call_back(job_id)).json()["result"] == "recorded"
    job = await receiver.scenario.job(job_id)
    assert (job.state, job.provider_request_id) == (JobState.COMPLETED, "req-1")


async def test_a_failure_is_recorded(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    assert (await receiver.call_back(job_id, FAILED)).json()["result"] == "recorded"
    job = await receiver.scenario.job(job_id)
    assert job.state is JobState.FAILED
    assert job.error is not None


async def test_ok_without_a_payload_is_pending_and_a_poll_is_due_at_once(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    response = await receiver.call_back(job_id, callback_body(payload=None))
    assert (response.status_code, response.json()["result"]) == (200, "pending")
    assert (await receiver.scenario.job(job_id)).state is JobState.SUBMITTED
    assert [task.subject for task in await receiver.scenario.fetch("poll", at=3)] == [job_id]


async def test_unavailable_keys_are_503_so_that_fal_retries(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    before = await receiver.dump()
    receiver.fal.down = True
    response = await receiver.call_back(job_id)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert await receiver.dump() == before
    assert [fact["reason"] for fact in receiver.emitted.named("callback.deferred")] == ["keys_unavailable"]
    assert receiver.counted("callback.deferred", provider="fal", reason="keys_unavailable") == 1
    receiver.fal.down = False
    receiver.clock.pass_seconds(3)
    assert (await receiver.call_back(job_id)).json()["result"] == "recorded"


async def test_stale_keys_are_used_while_fal_cannot_be_reached(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    await receiver.keys.prefetch()
    receiver.clock.pass_seconds(25 * 3600)
    receiver.fal.down = True
    assert (await receiver.call_back(job_id)).json()["result"] == "recorded"
    assert len(receiver.emitted.named("keys.fetch_failed")) == 1


async def test_a_callback_after_twelve_hours_starts_a_fetch_of_keys_without_waiting_for_it(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    await receiver.keys.prefetch()
    for hours, fetches in ((11, 1), (1, 2), (11, 2), (1, 3)):
        receiver.clock.pass_seconds(hours * 3600)
        assert (await receiver.call_back(job_id)).status_code == 200
        await until(lambda fetches=fetches: receiver.fal.fetches == fetches)  # type: ignore[misc]  # bound now, not later


async def test_a_rotated_key_is_fetched_once_and_accepted(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    await receiver.keys.prefetch()
    receiver.clock.pass_seconds(61)
    receiver.fal.rotate()
    assert (await receiver.call_back(job_id)).json()["result"] == "recorded"
    assert (await receiver.call_back(job_id)).json()["result"] == "duplicate"
    assert receiver.fal.fetches == 2


async def test_an_unavailable_database_is_503_and_never_200(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    await receiver.store.close()
    response = await receiver.call_back(job_id)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert receiver.counted("callback.deferred", provider="fal", reason="database_unavailable") == 1
    assert [fact["reason"] for fact in receiver.emitted.named("callback.deferred")] == ["database_unavailable"]


async def test_signed_headers_that_come_twice_with_equal_values_count_once(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    body = callback_body()
    headers = receiver.fal.sign(body)
    response = await receiver.call_back(job_id, body, headers=[*headers, *headers])
    assert (response.status_code, response.json()) == (200, {"result": "recorded"})
