"""Whatever becomes of standard error, callbacks, jobs, notifications and the shutdown go on; lines are lost."""

import json
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process import standard_errors
from tests.process.children import until
from tests.process.deployment import Deployment, Services
from tests.process.job_requests import JobRequest
from tests.process.postgres_deployment import PostgresDeployment

STOP_SECONDS = 2.0
JOBS = (
    [JobRequest() for _ in range(4)]
    + [JobRequest(provider="heygen") for _ in range(2)]
    + [JobRequest(faults="failed"), JobRequest(faults="refused"), JobRequest(faults="429=1")]
)
STATES = {"": "completed", "failed": "failed", "refused": "failed", "429=1": "completed"}


@pytest.fixture(params=["sqlite", "postgres"])
def deployment(request: pytest.FixtureRequest, tmp_path: Path, services: Services) -> Iterator[Deployment]:
    """A deployment on each database, whose receiver is not started."""
    settings = {"STOP_SECONDS": str(STOP_SECONDS)}
    if request.param == "postgres":
        url = request.getfixturevalue("database_url")
        built: Deployment = PostgresDeployment(tmp_path, services, url, **settings)
    else:
        built = Deployment(tmp_path, services, **settings)
    yield built
    built.close()


def dropped(deployment: Deployment) -> int:
    text = deployment.call("GET", "/metrics").text
    found = re.search(r"^renderhook_log_lines_dropped_total (\S+)$", text, re.MULTILINE)
    assert found, text
    return int(float(found[1]))


def check_everything_works(deployment: Deployment) -> None:
    """Submit jobs, send what is refused, and check every outcome and notification."""
    ids = {str(deployment.submit(each)): STATES[each.faults] for each in JOBS}
    for number in range(50):
        forged = deployment.services.http.post(f"{deployment.url}/callbacks/fal/forged-{number}", content=b"{}")
        assert forged.status_code == 404
    assert deployment.call("GET", "/v1/jobs", headers={"Authorization": "Bearer wrong"}).status_code == 401
    deployment.wait_settled(15)
    for job_id, state in ids.items():
        assert deployment.job(job_id)["state"] == state
    assert {row["state"] for row in deployment.rows("SELECT state FROM deliveries")} == {"delivered"}
    for job_id in ids:
        assert all(each["attempts"] == 1 for each in deployment.services.received(job_id))
    assert deployment.call("GET", "/readyz").status_code == 200


def check_stops(deployment: Deployment) -> None:
    began = time.monotonic()
    assert deployment.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < STOP_SECONDS + 1


@pytest.mark.parametrize("kind", standard_errors.KINDS)
def test_the_work_goes_on_when_standard_error_takes_no_lines(kind: str, deployment: Deployment) -> None:
    with standard_errors.KINDS[kind]() as (options, stop_taking):
        deployment.start(**options)
        stop_taking()
        check_everything_works(deployment)
        if kind != "stalled":  # what a stalled reader has not taken may still be written
            until("dropped lines are counted", lambda: dropped(deployment) > 20)
        check_stops(deployment)


def test_the_work_goes_on_without_a_standard_error(deployment: Deployment) -> None:
    deployment.start(*standard_errors.WITHOUT)
    check_everything_works(deployment)
    check_stops(deployment)
    assert deployment.receiver
    assert deployment.receiver.output == ""


def test_every_line_is_json_and_a_strangers_requests_do_not_fill_the_log(deployment: Deployment) -> None:
    receiver = deployment.start()
    host, _, port = deployment.url.removeprefix("http://").partition(":")
    for _ in range(100):
        with socket.create_connection((host, int(port)), timeout=5) as stranger:
            stranger.sendall(b"\x16\x03\x01 no HTTP\r\n\r\n")
            stranger.recv(100)
        deployment.services.http.post(f"{deployment.url}/callbacks/fal/forged", content=b"{}")
        deployment.call("GET", "/v1/jobs", headers={"Authorization": "Bearer wrong"})
    text = deployment.call("GET", "/metrics").text
    assert 'renderhook_callback_refused_total{provider="fal",reason="token_foreign"} 100.0' in text
    assert 'renderhook_request_refused_total{reason="key_unknown"} 100.0' in text
    assert deployment.stop() == 0
    lines = [json.loads(line) for line in receiver.output.splitlines()]
    assert all({"event", "level", "timestamp"} <= line.keys() for line in lines)
    assert len(lines) < 50
