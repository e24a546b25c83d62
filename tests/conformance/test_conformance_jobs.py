"""A job with every provider: submitted, ended by callback or poll, and continued after a crash."""

from pathlib import Path
from typing import Any

import pytest

from tests.conformance.receivers import Receiver, running
from tests.conformance.subjects import SUBJECTS, Subject

ALL = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
CALLING_BACK = pytest.mark.parametrize(
    "subject", [each for each in SUBJECTS if each.calls_back], ids=lambda subject: subject.name
)
POLLED_ONLY = pytest.mark.parametrize(
    "subject", [each for each in SUBJECTS if not each.calls_back], ids=lambda subject: subject.name
)

SLOW_SECONDS = 30.0


def completed(receiver: Receiver, subject: Subject) -> tuple[str, dict[str, Any]]:
    """Run a job to its end, and return its id and the receipt that ended it. A provider may call back twice."""
    job_id = receiver.submit(subject, subject.inputs.completes)
    assert receiver.wait_ended(job_id)["state"] == "completed"
    receipt, *others = receiver.receipts(job_id)
    assert [other["result"] for other in others] == ["duplicate"] * len(others)
    return job_id, receipt


@CALLING_BACK
def test_a_job_is_submitted_and_completed_by_its_callback(subject: Subject, called: Receiver) -> None:
    job_id, receipt = completed(called, subject)
    job = called.job(job_id)
    assert (job["state"], job["source"], job["error"]) == ("completed", "callback", None)
    assert job["outputs"][0]["url"].startswith("http")
    assert (receipt["source"], receipt["result"]) == ("callback", "recorded")
    assert receipt["provider_request_id"] == job["provider_request_id"]


@POLLED_ONLY
def test_a_provider_without_callbacks_has_no_callback_address(subject: Subject, called: Receiver) -> None:
    job_id, receipt = completed(called, subject)
    assert receipt["source"] == "poll"
    assert called.call_back(subject.name, job_id, b"{}", {}).status_code == 404


@ALL
def test_a_job_is_completed_by_polling(subject: Subject, polling: Receiver) -> None:
    job_id = polling.submit(subject, subject.inputs.lost)
    job = polling.wait_ended(job_id)
    assert (job["state"], job["source"], job["error"]) == ("completed", "poll", None)
    assert job["outputs"][0]["url"].startswith("http")
    assert [receipt["source"] for receipt in polling.receipts(job_id)] == ["poll"]


@ALL
def test_a_failed_job_has_an_error_with_fault_code_and_message(subject: Subject, called: Receiver) -> None:
    job = called.wait_ended(called.submit(subject, subject.inputs.fails))
    assert (job["state"], job["outputs"]) == ("failed", [])
    assert job["error"]["fault"] in {"input", "account", "provider"}
    assert job["error"]["code"]
    assert job["error"]["message"]


@CALLING_BACK
def test_a_receipt_can_be_verified_again_and_is_a_duplicate(subject: Subject, called: Receiver) -> None:
    job_id, receipt = completed(called, subject)
    response = called.call_back(subject.name, job_id, receipt["body"].encode(), receipt["headers"])
    assert (response.status_code, response.json()) == (200, {"result": "duplicate"})
    assert {each["result"] for each in called.receipts(job_id)[1:]} == {"duplicate"}
    assert called.job(job_id)["state"] == "completed"


@CALLING_BACK
def test_a_forged_callback_is_refused_and_changes_nothing(subject: Subject, called: Receiver) -> None:
    _, receipt = completed(called, subject)
    headers, body = receipt["headers"], receipt["body"].encode()
    waiting = called.submit(subject, subject.inputs.slow(SLOW_SECONDS))
    before = called.wait_submitted(waiting)
    forged = called.refused_callbacks(subject.name, "no_key_matches")
    assert called.call_back(subject.name, waiting, body + b" ", headers).status_code == 401
    assert called.refused_callbacks(subject.name, "no_key_matches") == forged + 1
    assert called.call_back(subject.name, waiting, body, {}).status_code == 401
    assert called.call_back(subject.name, waiting, body, headers).status_code == 401  # it is another job's
    assert called.call_back(subject.name, waiting, body, headers, token="job_1.forged").status_code == 404
    assert called.call_back("no-such-provider", waiting, body, headers).status_code == 404
    assert called.job(waiting) == before
    assert called.receipts(waiting) == []


@ALL
def test_a_job_survives_a_crash_of_the_receiver(
    subject: Subject, environment: dict[str, str], site: Path, tmp_path: Path
) -> None:
    settings = environment | {subject.poll_setting: "0.2"}
    with running(Receiver(tmp_path, site, settings, public=True)) as receiver:
        job_id = receiver.submit(subject, subject.inputs.slow(1.5))
        request_id = receiver.wait_submitted(job_id)["provider_request_id"]
        receiver.kill()
        receiver.start()
        job = receiver.wait_ended(job_id)
        assert (job["state"], job["provider_request_id"]) == ("completed", request_id)
        assert "recorded" in [receipt["result"] for receipt in receiver.receipts(job_id)]
