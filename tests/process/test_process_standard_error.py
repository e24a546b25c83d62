"""Standard error that is closed, full, without a reader or not read changes nothing but the lines that are lost."""

import contextlib
import fcntl
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres.databases import fresh_database
from tests.postgres.servers import PostgresServer
from tests.process.deployment import Deployment, Services
from tests.process.job_requests import JobRequest
from tests.process.postgres_deployment import PostgresDeployment

FORGED = 60
"""Refused callbacks: more lines than the pipe that is not read holds."""

Options = dict[str, Any]


@contextlib.contextmanager
def closed() -> Iterator[Options]:
    yield {"stderr": None, "preexec_fn": lambda: os.close(2)}


@contextlib.contextmanager
def full() -> Iterator[Options]:
    with Path("/dev/full").open("wb") as stream:
        yield {"stderr": stream}


@contextlib.contextmanager
def without_reader() -> Iterator[Options]:
    reading, writing = os.pipe()
    os.close(reading)
    yield {"stderr": writing}
    os.close(writing)


@contextlib.contextmanager
def not_read() -> Iterator[Options]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    yield {"stderr": writing}
    os.close(writing)
    os.close(reading)


@pytest.fixture(params=["sqlite", "postgres"])
def deployed(
    request: pytest.FixtureRequest, tmp_path: Path, services: Services, deployment: Deployment
) -> Iterator[Deployment]:
    if request.param == "sqlite":
        yield deployment
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    with fresh_database(server) as url:
        built = PostgresDeployment(tmp_path / "postgres", services, url)
        yield built
        built.close()


@pytest.mark.parametrize("standard_error", [closed, full, without_reader, not_read])
def test_jobs_callbacks_notifications_and_shutdown_do_not_depend_on_standard_error(
    deployed: Deployment, standard_error: Callable[[], contextlib.AbstractContextManager[Options]]
) -> None:
    with standard_error() as options:
        receiver = deployed.start(**options)
        for _ in range(FORGED):
            assert deployed.call("POST", "/callbacks/fal/job_x.forged", content=b"{}").status_code in {401, 404}
        jobs = [deployed.submit(JobRequest()), deployed.submit(JobRequest(faults="failed"))]
        deployed.wait_settled()
        assert [deployed.job(str(job))["state"] for job in jobs] == ["completed", "failed"]
        assert deployed.rows("SELECT id FROM deliveries WHERE state <> 'delivered'") == []
        assert deployed.call("GET", "/readyz").status_code == 200
        metrics = deployed.call("GET", "/metrics").text
        [dropped] = re.findall(r"^renderhook_log_lines_dropped_total (\S+)", metrics, re.MULTILINE)
        assert float(dropped) > 0 or standard_error in {closed, not_read}
        assert deployed.stop() == 0
        assert receiver.output == ""
    deployed.start()  # the database is a database: no line was written into it
    assert {deployed.job(str(job))["state"] for job in jobs} == {"completed", "failed"}
