"""Several processes on one database: a deploy, a killed worker, and a connection pooler."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres.pgbouncer import needs_pgbouncer, pooling
from tests.postgres.servers import serving
from tests.process.balancer import Balancer
from tests.process.children import until
from tests.process.deployment import Services
from tests.process.hanging_endpoint import HangingEndpoint
from tests.process.job_requests import JobRequest
from tests.process.postgres_deployment import PostgresDeployment
from tests.process.submitted_jobs import SubmittedJob


@pytest.fixture
def shared(tmp_path: Path, services: Services, database_url: str) -> Iterator[PostgresDeployment]:
    built = PostgresDeployment(tmp_path, services, database_url)
    yield built
    built.close()


def test_a_new_release_takes_over_the_work_of_the_old_one_at_once(shared: PostgresDeployment) -> None:
    old, new = shared, shared.beside("new")
    with HangingEndpoint() as endpoint, Balancer([int(old.settings["PORT"])]) as balancer:
        for deployment in (old, new):
            deployment.settings |= {"PUBLIC_URL": balancer.url, "NOTIFY_URL": endpoint.url, "STOP_SECONDS": "2"}
        old.start()
        hanging = JobRequest(faults="slow=8,late=2")
        completed, hanging_job = str(old.submit(JobRequest())), str(old.submit(hanging))
        until(
            "a delivery and a submit are on the wire", lambda: endpoint.received and old.services.submissions(hanging)
        )
        try:
            new.start()
            balancer.ports.append(int(new.settings["PORT"]))
            assert {old.job(completed)["id"], new.job(completed)["id"]} == {completed}
            balancer.ports.pop(0)
            received = len(endpoint.received)
            began = time.monotonic()
            assert old.stop() == 0
            stopped = time.monotonic() - began
            until("the other receiver delivers", lambda: len(endpoint.received) > received)
            taken = time.monotonic() - began
            print(f"stopped in {stopped:.2f} s, taken over {taken - stopped:.2f} s later")  # noqa: T201 - what was measured
            endpoint.answering.set()
            until(
                "both have ended", lambda: {new.job(job)["state"] for job in (completed, hanging_job)} == {"completed"}
            )
            until(
                "every delivery is delivered",
                lambda: not new.rows("SELECT id FROM deliveries WHERE state <> 'delivered'"),
            )
        finally:
            new.close()
    assert stopped < 2 + 0.5
    assert taken - stopped < 1.5
    assert set(endpoint.received) == {row["id"] for row in shared.rows("SELECT id FROM deliveries")}
    assert len(shared.services.submissions(hanging)) == 1
    assert old.receiver
    assert "Traceback" not in old.receiver.output


def test_a_job_whose_worker_is_killed_during_its_submission_is_not_submitted_twice(shared: PostgresDeployment) -> None:
    shared.settings |= {"WORKERS": "0"}
    shared.start()
    crashing = shared.start_worker("crashing")
    job_request = JobRequest(faults="slow=30,lost")  # the test calls back
    job_id = str(shared.submit(job_request))
    taken = until("the submit is on the wire", lambda: shared.services.submissions(job_request))
    crashing.kill()
    shared.start_worker()
    # The lease (20 s) and the claim are over.
    shared.rows("UPDATE jobs SET claimed_until = 1 WHERE id = %s", job_id)
    shared.rows("UPDATE work SET due_at = 1 WHERE kind = 'submit'")
    until("another worker has handled it", lambda: shared.job(job_id)["state"] == "unconfirmed")
    signed = SubmittedJob(job_id, taken[0]["id"]).callback(shared.services.signing_key, shared.settings["SECRET_KEY"])
    answer = shared.services.http.post(f"{shared.url}{signed.path}", headers=signed.headers, content=signed.body)
    assert answer.json() == {"result": "recorded"}
    shared.wait_settled()
    assert [row["type"] for row in shared.rows("SELECT type FROM events ORDER BY sequence")] == [
        "job.accepted",
        "job.unconfirmed",
        "job.completed",
    ]
    assert len(shared.services.submissions(job_request)) == 1


def test_a_worker_whose_leases_expired_finishes_what_it_does(shared: PostgresDeployment) -> None:
    shared.start()
    paid = [
        JobRequest(provider="heygen", faults="slow=5") for _ in range(2)
    ]  # longer than a worker that stops would wait
    jobs = [str(shared.submit(job_request)) for job_request in paid]
    until("both are on the wire", lambda: all(shared.services.submissions(job_request) for job_request in paid))
    shared.rows("UPDATE work SET due_at = 1")  # as when the database was away for 20 s
    jobs.append(str(shared.submit(JobRequest())))
    shared.wait_settled()
    assert {shared.job(job)["state"] for job in jobs} == {"completed"}
    assert [len(shared.services.submissions(job_request)) for job_request in paid] == [1, 1]


@needs_pgbouncer
def test_receiver_and_worker_work_through_a_connection_pooler(tmp_path: Path, services: Services) -> None:
    with serving(fsync=False) as server, pooling(server, default_pool_size=4) as bouncer:
        server.create_database("pooled")
        deployment = PostgresDeployment(tmp_path, services, bouncer.url("pooled"), WORKERS="0")
        try:
            deployment.start()
            deployment.start_worker()
            job_requests = [JobRequest(provider=provider) for provider in ("fal", "heygen") * 3]
            jobs = [str(deployment.submit(job_request)) for job_request in job_requests]
            deployment.wait_settled(15)
            assert {deployment.job(job)["state"] for job in jobs} == {"completed"}
            assert len(services.received(jobs[0])) == 2
            assert [len(services.submissions(job_request)) for job_request in job_requests] == [1] * len(job_requests)
            assert {row["state"] for row in deployment.rows("SELECT state FROM deliveries")} == {"delivered"}
            assert deployment.stop() == 0
        finally:
            deployment.close()
