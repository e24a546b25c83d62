"""Several processes on one database: a deploy, a killed worker, and a pooler between."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres.bouncers import needs_pgbouncer, pooling
from tests.postgres.servers import serving
from tests.process.balancer import Balancer
from tests.process.children import until
from tests.process.errands import Errand
from tests.process.hanging import HangingEndpoint
from tests.process.house import Neighbours
from tests.process.postgres_house import PostgresHouse
from tests.process.prepared import Prepared


@pytest.fixture
def shared(tmp_path: Path, neighbours: Neighbours, database_url: str) -> Iterator[PostgresHouse]:
    built = PostgresHouse(tmp_path, neighbours, database_url)
    yield built
    built.close()


def test_a_deploy_serves_on_and_the_old_ones_work_is_taken_over_at_once(shared: PostgresHouse) -> None:
    old, new = shared, shared.beside("new")
    with HangingEndpoint() as endpoint, Balancer([int(old.settings["PORT"])]) as balancer:
        for house in (old, new):
            house.settings |= {"PUBLIC_URL": balancer.url, "NOTIFY_URL": endpoint.url, "STOP_SECONDS": "2"}
        old.start()
        hanging = Errand(faults="slow=8,late=2")
        told, asked = str(old.ask(Errand())), str(old.ask(hanging))
        until("a delivery and a submit are on the wire", lambda: endpoint.heard and old.neighbours.submissions(hanging))
        try:
            new.start()
            balancer.ports.append(int(new.settings["PORT"]))
            assert {old.job(told)["id"], new.job(told)["id"]} == {told}
            balancer.ports.pop(0)
            heard = len(endpoint.heard)
            began = time.monotonic()
            assert old.stop() == 0
            stopped = time.monotonic() - began
            until("the other one tells", lambda: len(endpoint.heard) > heard)
            taken = time.monotonic() - began
            print(f"stopped in {stopped:.2f} s, taken over {taken - stopped:.2f} s later")  # noqa: T201 - what was measured
            endpoint.answering.set()
            until("both have ended", lambda: {new.job(job)["state"] for job in (told, asked)} == {"completed"})
            until("everybody is told", lambda: not new.rows("SELECT id FROM deliveries WHERE state <> 'delivered'"))
        finally:
            new.close()
    assert stopped < 2 + 0.5
    assert taken - stopped < 1.5
    assert set(endpoint.heard) == {row["id"] for row in shared.rows("SELECT id FROM deliveries")}
    assert len(shared.neighbours.submissions(hanging)) == 1
    assert old.receiver
    assert "Traceback" not in old.receiver.said


def test_a_worker_killed_in_the_middle_of_a_submit_never_has_it_submitted_twice(shared: PostgresHouse) -> None:
    shared.settings |= {"WORKERS": "0"}
    shared.start()
    doomed = shared.start_worker("doomed")
    errand = Errand(faults="slow=30,lost")  # we call back, when it is time
    job_id = str(shared.ask(errand))
    taken = until("the submit is on the wire", lambda: shared.neighbours.submissions(errand))
    doomed.kill()
    shared.start_worker()
    # What takes up to 20 s, and the claim's own time: both are over.
    shared.rows("UPDATE jobs SET claimed_until = 1 WHERE id = %s", job_id)
    shared.rows("UPDATE work SET due_at = 1 WHERE kind = 'submit'")
    until("another worker had it", lambda: shared.job(job_id)["state"] == "unconfirmed")
    signed = Prepared(job_id, taken[0]["id"]).callback(shared.neighbours.signing_key, shared.settings["SECRET_KEY"])
    answer = shared.neighbours.http.post(f"{shared.url}{signed.path}", headers=signed.headers, content=signed.body)
    assert answer.json() == {"result": "recorded"}
    shared.wait_settled()
    assert [row["type"] for row in shared.rows("SELECT type FROM events ORDER BY sequence")] == [
        "job.accepted",
        "job.unconfirmed",
        "job.completed",
    ]
    assert len(shared.neighbours.submissions(errand)) == 1


def test_a_worker_whose_leases_ended_under_it_goes_on_with_what_it_does(shared: PostgresHouse) -> None:
    shared.start()
    paid = [Errand(provider="heygen", faults="slow=5") for _ in range(2)]  # longer than a worker that stops would wait
    jobs = [str(shared.ask(errand)) for errand in paid]
    until("both are on the wire", lambda: all(shared.neighbours.submissions(errand) for errand in paid))
    shared.rows("UPDATE work SET due_at = 1")  # as when the database was away for 20 s
    jobs.append(str(shared.ask(Errand())))
    shared.wait_settled()
    assert {shared.job(job)["state"] for job in jobs} == {"completed"}
    assert [len(shared.neighbours.submissions(errand)) for errand in paid] == [1, 1]


@needs_pgbouncer
def test_a_round_through_a_pooler_works(tmp_path: Path, neighbours: Neighbours) -> None:
    with serving(fsync=False) as server, pooling(server, default_pool_size=4) as bouncer:
        server.create_database("pooled")
        house = PostgresHouse(tmp_path, neighbours, bouncer.url("pooled"), WORKERS="0")
        try:
            house.start()
            house.start_worker()
            errands = [Errand(provider=provider) for provider in ("fal", "heygen") * 3]
            jobs = [str(house.ask(errand)) for errand in errands]
            house.wait_settled(15)
            assert {house.job(job)["state"] for job in jobs} == {"completed"}
            assert len(neighbours.received(jobs[0])) == 2
            assert [len(neighbours.submissions(errand)) for errand in errands] == [1] * len(errands)
            assert {row["state"] for row in house.rows("SELECT state FROM deliveries")} == {"delivered"}
            assert house.stop() == 0
        finally:
            house.close()
