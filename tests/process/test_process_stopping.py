"""Shutdown while requests are on the wire: the receiver exits in time, and nothing is lost."""

import contextlib
import signal
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from tests.process.children import python, until
from tests.process.deployment import Deployment
from tests.process.hanging_endpoint import HangingEndpoint
from tests.process.job_requests import JobRequest
from tests.process.test_process_killed import check_integrity
from work.shutdown import OVERRUN_SECONDS

STOP_SECONDS = 0.6


HANGING = """
import pathlib, socket, sys, time

def getaddrinfo(host, *rest, real=socket.getaddrinfo, **options):
    if "hanging" in str(host):
        pathlib.Path(sys.argv[1]).touch()
        time.sleep(30)
    return real(host, *rest, **options)

socket.getaddrinfo = getaddrinfo
from renderhook.cli import main
main(["serve"])
"""
"""A receiver with a name server that does not answer for some names."""


@pytest.fixture
def endpoint() -> Iterator[HangingEndpoint]:
    with HangingEndpoint() as hanging:
        yield hanging


def stop_in_time(deployment: Deployment, *signals: signal.Signals) -> None:
    assert deployment.receiver
    began = time.monotonic()
    for number in signals:
        deployment.receiver.send_signal(number)
    assert deployment.receiver.wait() == 0
    assert time.monotonic() - began < STOP_SECONDS + 2
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


def test_the_shutdown_is_logged_when_it_begins(deployment: Deployment, endpoint: HangingEndpoint) -> None:
    deployment.settings |= {"STOP_SECONDS": "8", "NOTIFY_URL": endpoint.url}
    receiver = deployment.start()
    deployment.submit(JobRequest())
    until("a delivery is on the wire", lambda: endpoint.received)
    receiver.send_signal(signal.SIGTERM)
    until("it is logged", lambda: deployment.logged("receiver.shutdown_requested"), 2)
    assert receiver.code() is None
    endpoint.answering.set()
    assert receiver.wait() == 0


def test_a_database_locked_by_another_process_does_not_hold_the_shutdown(deployment: Deployment) -> None:
    deployment.settings |= {"STOP_SECONDS": "1"}
    deployment.start()
    deployment.submit(JobRequest(faults="slow=0.3"))
    lock = sqlite3.connect(deployment.database, isolation_level=None)
    with contextlib.closing(lock), ThreadPoolExecutor(10) as pool:
        lock.execute("BEGIN IMMEDIATE")
        waiting = [pool.submit(post_job, deployment) for _ in range(10)]
        until("requests wait for the lock", lambda: len(connections(deployment)) >= 10)
        stop_within(deployment, 1)
        assert not {each.result() for each in waiting} & {202}


def test_a_name_server_that_does_not_answer_does_not_hold_the_shutdown(deployment: Deployment) -> None:
    deployment.settings |= {"STOP_SECONDS": "1", "NOTIFY_URL": "https://hooks.hanging.example/"}
    looked_up = deployment.folder / "looked up"
    deployment.start(*python("-c", HANGING, str(looked_up)))
    job_id = deployment.submit(JobRequest())
    until("the job has ended", lambda: deployment.job(str(job_id))["state"] == "completed")
    until("the name is looked up", looked_up.exists)
    stop_within(deployment, 1)
    assert deployment.logged("process.exit_forced")


def stop_within(deployment: Deployment, seconds: float) -> None:
    """Stop the receiver, which must exit with 0 a second after its time at the latest."""
    began = time.monotonic()
    assert deployment.stop() == 0
    assert time.monotonic() - began < seconds + OVERRUN_SECONDS + 0.5


def post_job(deployment: Deployment) -> int | None:
    try:
        return deployment.call("POST", "/v1/jobs", json=JobRequest().body).status_code
    except httpx.TransportError:
        return None


def connections(deployment: Deployment) -> list[object]:
    assert deployment.receiver
    process = psutil.Process(deployment.receiver.pid)
    port = int(deployment.settings["PORT"])
    return [each for each in process.net_connections("tcp") if each.laddr.port == port and each.status == "ESTABLISHED"]
