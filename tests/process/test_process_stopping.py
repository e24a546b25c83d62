"""Shutdown while requests are on the wire: the receiver exits in time, and nothing is lost."""

import contextlib
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.sqlite.store import CLOSE_SECONDS
from tests.process.children import until
from tests.process.deployment import Deployment
from tests.process.hanging_endpoint import HangingEndpoint
from tests.process.job_requests import JobRequest
from tests.process.test_process_killed import check_integrity
from work.worker import RELEASE_SECONDS

STOP_SECONDS = 0.6


@pytest.fixture
def endpoint() -> Iterator[HangingEndpoint]:
    with HangingEndpoint() as hanging:
        yield hanging


def stop_in_time(deployment: Deployment, *signals: signal.Signals, allowed: float = STOP_SECONDS) -> None:
    assert deployment.receiver
    began = time.monotonic()
    for number in signals:
        deployment.receiver.send_signal(number)
    assert deployment.receiver.wait() == 0
    assert time.monotonic() - began < allowed + 2  # a busy machine is not a failure
    assert "Traceback" not in deployment.receiver.output


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]],
    ids=["SIGTERM", "SIGINT", "SIGTERM twice"],
)
def test_a_delivery_without_response_is_sent_again_under_its_id(
    signals: list[signal.Signals], deployment: Deployment, endpoint: HangingEndpoint
) -> None:
    deployment.settings |= {"STOP_SECONDS": str(STOP_SECONDS), "NOTIFY_URL": endpoint.url}
    deployment.start()
    job_id = str(deployment.submit(JobRequest()))
    until("both events are on the wire", lambda: len(endpoint.received) == 2)
    assert deployment.job(job_id)["state"] == "completed"
    stop_in_time(deployment, *signals)
    assert [row["state"] for row in deployment.rows("SELECT state FROM deliveries")] == ["pending", "pending"]
    endpoint.answering.set()
    deployment.start()
    deployment.wait_settled()
    deliveries = deployment.rows("SELECT id, state FROM deliveries ORDER BY id")
    assert {row["state"] for row in deliveries} == {"delivered"}
    assert sorted(endpoint.received) == sorted(row["id"] for row in deliveries for _ in range(2))
    check_integrity(deployment)


def test_a_submission_on_the_wire_is_not_sent_again(deployment: Deployment) -> None:
    deployment.settings |= {"STOP_SECONDS": str(STOP_SECONDS)}
    deployment.start()
    job_request = JobRequest(faults="slow=4,late=1.2")
    job_id = str(deployment.submit(job_request))
    until("the submit is on the wire", lambda: deployment.services.submissions(job_request))
    stop_in_time(deployment, signal.SIGTERM)
    deployment.start()
    deployment.wait_settled()
    job = deployment.job(job_id)
    assert (job["state"], job["source"]) == ("completed", "callback")
    assert len(deployment.services.submissions(job_request)) == 1
    assert [each["type"] for each in deployment.services.received(job_id)] == ["job.completed"]
    check_integrity(deployment)


def test_shutdown_ends_in_time_while_another_process_locks_the_database(deployment: Deployment) -> None:
    deployment.settings |= {"STOP_SECONDS": str(STOP_SECONDS)}
    deployment.start()
    deployment.submit(JobRequest(faults="late=0.5"))
    with contextlib.closing(sqlite3.connect(deployment.database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        stop_in_time(deployment, signal.SIGTERM, allowed=STOP_SECONDS + RELEASE_SECONDS + CLOSE_SECONDS)
        assert [event["event"] for event in deployment.logged("receiver.shutdown_requested")]
        other.execute("ROLLBACK")
    deployment.start()
    deployment.wait_settled()
    check_integrity(deployment)


def test_a_submission_answered_during_shutdown_is_recorded(deployment: Deployment, tmp_path: Path) -> None:
    deployment.settings |= {"STOP_SECONDS": "3"}
    deployment.start()
    job_request = JobRequest(faults="slow=0.6,late=1.2")
    job_id = str(deployment.submit(job_request))
    until("the submit is on the wire", lambda: deployment.services.submissions(job_request))
    stop_in_time(deployment, signal.SIGTERM)
    assert [row["state"] for row in deployment.rows("SELECT state FROM jobs")] == ["submitted"]
    deployment.start()
    deployment.wait_settled()
    assert deployment.job(job_id)["source"] == "callback"
    assert len(deployment.services.submissions(job_request)) == 1
    check_integrity(deployment)
