"""Starting on Postgres: it waits for a database that is not there, says in one line what only an operator can mend."""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.postgres.databases import fresh_database
from tests.postgres.servers import PostgresServer, serving
from tests.process.children import Child, answers, python, quiet_port, until
from tests.process.errands import Errand
from tests.process.house import House, Neighbours
from tests.process.postgres_house import PostgresHouse
from tests.process.test_process_refusals import last_words

PASSWORD = "correct-horse-17"
OPEN_SECONDS = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server with one user who must show a password."""
    with serving(fsync=False) as started:
        rules = started.data / "pg_hba.conf"
        rules.write_text("host all stranger all scram-sha-256\n" + rules.read_text())
        started.ask(f"CREATE ROLE stranger LOGIN SUPERUSER PASSWORD '{PASSWORD}'")
        started.ask("SELECT pg_reload_conf()")
        yield started


@pytest.fixture
def house(tmp_path: Path, neighbours: Neighbours, server: PostgresServer) -> Iterator[PostgresHouse]:
    with fresh_database(server) as url:
        built = PostgresHouse(tmp_path, neighbours, url)
        yield built
        built.close()


@pytest.fixture(scope="module", autouse=True)
def in_vain(tmp_path_factory: pytest.TempPathFactory, neighbours: Neighbours) -> Iterator[PostgresHouse]:
    """A house whose database never comes: its receiver waits 20 seconds, while the other tests run."""
    url = f"postgres://somebody:{PASSWORD}@127.0.0.1:{quiet_port()}/nowhere"
    house = PostgresHouse(tmp_path_factory.mktemp("vain"), neighbours, url)
    house.launch()
    yield house
    house.close()


@pytest.mark.parametrize(
    ("go", "come_back"),
    [(PostgresServer.kill, PostgresServer.start), (PostgresServer.freeze, PostgresServer.thaw)],
    ids=["killed", "frozen"],
)
def test_a_receiver_waits_for_its_database_and_then_serves(
    go: Callable[[PostgresServer], object],
    come_back: Callable[[PostgresServer], object],
    house: PostgresHouse,
    server: PostgresServer,
) -> None:
    go(server)
    try:
        receiver = house.launch()
        until("it says that it waits", lambda: house.telemetry("database.call_failed"))
        assert not house.telemetry("receiver.started")
        began = time.monotonic()
        assert house.call("GET", "/healthz").status_code == 503
        assert time.monotonic() - began < 2
    finally:
        come_back(server)
    until("it is ready", lambda: answers(house.neighbours.http, f"{house.url}/readyz"))
    job_id = house.ask(Errand())
    house.wait_settled()
    assert house.job(str(job_id))["state"] == "completed"
    assert receiver.code() is None


def test_the_right_password_is_let_in(house: PostgresHouse) -> None:
    house.settings["DATABASE_URL"] = house.settings["DATABASE_URL"].replace("postgres@", f"stranger:{PASSWORD}@")
    receiver = house.start()
    assert PASSWORD not in receiver.said


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
def test_what_an_operator_must_mend_is_one_line_without_the_password(
    user: str, rest: str, words: str, command: list[str], house: PostgresHouse
) -> None:
    house.settings["DATABASE_URL"] = house.settings["DATABASE_URL"].replace("postgres@", f"{user}@") + rest
    (line,) = last_words(house.launch(*python(*command)))
    assert words in line
    assert "DATABASE_URL" in line
    assert "horse" not in line


def test_migrating_twice_or_twice_at_once_is_migrating_once(house: PostgresHouse) -> None:
    migrate = python("-m", "receiver", "migrate")
    both = [Child(house.folder / f"{name}.log", migrate, house.settings) for name in ("one", "other")]
    assert [child.ended() for child in both] == [0, 0], [child.said for child in both]
    first = house.rows("SELECT * FROM migrations")
    again = Child(house.folder / "again.log", migrate, house.settings)
    assert again.ended() == 0
    assert [child.said for child in (*both, again)] == ["the database is up to date\n"] * 3
    assert house.rows("SELECT * FROM migrations") == first != []


def test_a_file_has_no_room_for_workers_apart(tmp_path: Path, neighbours: Neighbours) -> None:
    house = House(tmp_path, neighbours)
    with contextlib.closing(house):
        (line,) = last_words(house.launch(*python("-m", "submitter", "work")))
        assert line.startswith("DATABASE_URL: `work` needs Postgres")
        house.settings |= {"WORKERS": "0"}
        (line,) = last_words(house.launch())
        assert line.startswith("WORKERS: must be 1, because DATABASE_URL is an SQLite file")
        assert not house.database.exists()


def test_a_database_that_never_comes_ends_the_start_with_one_line(in_vain: PostgresHouse) -> None:
    receiver = in_vain.receiver
    assert receiver
    assert receiver.ended(OPEN_SECONDS + 10) == 1
    lines = [line for line in receiver.said.splitlines() if not line.startswith("{")]
    assert len(lines) == 1, lines
    assert lines[0].startswith("renderhook: ")
    assert "Connection refused" in lines[0]
    assert 15 <= len(in_vain.telemetry("database.call_failed")) <= OPEN_SECONDS + 2
    assert PASSWORD not in receiver.said


def test_a_receiver_that_waits_for_its_database_stops_when_it_is_told_to(
    house: PostgresHouse, server: PostgresServer
) -> None:
    server.freeze()
    try:
        house.launch()
        until("it has claimed to wait", lambda: listens(house))
        assert house.stop() == 0
    finally:
        server.thaw()
    assert not house.telemetry("receiver.started")


def listens(house: PostgresHouse) -> bool:
    """Whether its address is taken: what it does before it opens the ledger."""
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", int(house.url.rpartition(":")[2]))) == 0
