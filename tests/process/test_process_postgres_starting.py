"""Startup on Postgres: wait for a database that does not answer, and fail with one line where an operator must act."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres.databases import fresh_database
from tests.postgres.servers import PostgresServer, serving
from tests.process.children import Child, answers, free_port, python, until
from tests.process.deployment import Deployment, Services
from tests.process.job_requests import JobRequest
from tests.process.postgres_deployment import PostgresDeployment
from tests.process.test_process_refusals import failed_output

PASSWORD = "correct-horse-17"
OPEN_SECONDS = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server with one user that needs a password."""
    with serving(fsync=False) as started:
        rules = started.data / "pg_hba.conf"
        rules.write_text("host all stranger all scram-sha-256\n" + rules.read_text())
        started.query(f"CREATE ROLE stranger LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
        started.query("SELECT pg_reload_conf()")
        yield started


@pytest.fixture
def deployment(tmp_path: Path, services: Services, server: PostgresServer) -> Iterator[PostgresDeployment]:
    with fresh_database(server) as url:
        built = PostgresDeployment(tmp_path, services, url)
        yield built
        built.close()


@pytest.fixture(scope="module", autouse=True)
def unreachable(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Iterator[PostgresDeployment]:
    """A deployment whose database never answers: its receiver waits 20 seconds, while the other tests run."""
    url = f"postgres://somebody:{PASSWORD}@127.0.0.1:{free_port()}/nowhere"
    deployment = PostgresDeployment(tmp_path_factory.mktemp("unreachable"), services, url)
    deployment.launch()
    yield deployment
    deployment.close()


@pytest.mark.parametrize(
    ("stop", "restart"),
    [(PostgresServer.kill, PostgresServer.start), (PostgresServer.suspend, PostgresServer.resume)],
    ids=["killed", "frozen"],
)
def test_a_receiver_waits_for_its_database_and_then_serves(
    stop: Callable[[PostgresServer], object],
    restart: Callable[[PostgresServer], object],
    deployment: PostgresDeployment,
    server: PostgresServer,
) -> None:
    stop(server)
    try:
        receiver = deployment.launch()
        until("it has logged a failed call", lambda: deployment.logged("database.call_failed"))
        assert not deployment.logged("receiver.started")
        began = time.monotonic()
        assert deployment.call("GET", "/healthz").status_code == 503
        assert time.monotonic() - began < 2
    finally:
        restart(server)
    until("it is ready", lambda: answers(deployment.services.http, f"{deployment.url}/readyz"))
    job_id = deployment.submit(JobRequest())
    deployment.wait_settled()
    assert deployment.job(str(job_id))["state"] == "completed"
    assert receiver.code() is None


def test_the_right_password_is_accepted_and_not_logged(deployment: PostgresDeployment) -> None:
    deployment.settings["DATABASE_URL"] = deployment.settings["DATABASE_URL"].replace(
        "postgres@", f"stranger:{PASSWORD}@"
    )
    receiver = deployment.start()
    assert PASSWORD not in receiver.output


@pytest.mark.parametrize(
    ("user", "rest", "words"),
    [
        ("stranger:wrong-horse-18", "", 'password authentication failed for user "stranger"'),
        ("stranger:wrong-horse-18", "x", 'password authentication failed for user "stranger"'),
        ("postgres:wrong-horse-18", "x", "does not exist"),
        ("stranger:wrong-horse-18/horse", "", "%XX"),
        ("stranger:wrong-horse-18@horse", "", "%XX"),
        ("stranger:wrong-horse-18%horse", "", "%XX"),
        ("postgres:wrong-horse-18", "?sslmode=perhaps", "perhaps"),
        ("postgres:wrong-horse-18", "?nothing=perhaps", "option"),
    ],
    ids=["password", "password and name", "name", "slash", "at", "percent", "value", "option"],
)
@pytest.mark.parametrize("command", [["-m", "receiver"], ["-m", "submitter", "work"]], ids=["receiver", "worker"])
def test_a_wrong_database_url_is_one_line_without_the_password(
    user: str, rest: str, words: str, command: list[str], deployment: PostgresDeployment
) -> None:
    deployment.settings["DATABASE_URL"] = deployment.settings["DATABASE_URL"].replace("postgres@", f"{user}@") + rest
    (line,) = failed_output(deployment.launch(*python(*command)))
    assert words in line
    assert "DATABASE_URL" in line
    assert "horse" not in line


def test_repeated_and_concurrent_migrations_migrate_once(deployment: PostgresDeployment) -> None:
    migrate = python("-m", "receiver", "migrate")
    both = [Child(deployment.folder / f"{name}.log", migrate, deployment.settings) for name in ("one", "other")]
    assert [child.wait() for child in both] == [0, 0], [child.output for child in both]
    first = deployment.rows("SELECT * FROM migrations")
    again = Child(deployment.folder / "again.log", migrate, deployment.settings)
    assert again.wait() == 0
    assert [child.output for child in (*both, again)] == ["the database is up to date\n"] * 3
    assert deployment.rows("SELECT * FROM migrations") == first != []


def test_a_receiver_without_workers_is_refused_on_sqlite(tmp_path: Path, services: Services) -> None:
    deployment = Deployment(tmp_path, services, WORKERS="0")
    with contextlib.closing(deployment):
        (line,) = failed_output(deployment.launch())
        assert line.startswith("WORKERS: must be 1, because DATABASE_URL is an SQLite file")
        assert not deployment.database.exists()


def test_startup_without_a_database_ends_with_one_line(unreachable: PostgresDeployment) -> None:
    receiver = unreachable.receiver
    assert receiver
    assert receiver.wait(OPEN_SECONDS + 10) == 1
    lines = [line for line in receiver.output.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, lines
    assert lines[0].startswith("renderhook: ")
    assert "Connection refused" in lines[0]
    assert "DATABASE_URL" in lines[0]
    assert len(unreachable.logged("database.call_failed")) == 1
    assert PASSWORD not in receiver.output


def test_a_receiver_that_waits_for_its_database_stops_on_a_signal(
    deployment: PostgresDeployment, server: PostgresServer
) -> None:
    server.suspend()
    try:
        deployment.launch()
        until("its port is taken", lambda: listens(deployment))
        assert deployment.stop() == 0
    finally:
        server.resume()
    assert not deployment.logged("receiver.started")


def listens(deployment: PostgresDeployment) -> bool:
    """Whether its port is taken, which comes before the database is opened."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", int(deployment.url.rpartition(":")[2]))) == 0
