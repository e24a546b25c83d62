"""A ledger moves to Postgres while a receiver works on it, and however it is cut short: nothing lost, nothing twice."""

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.bench.ground import lay
from tests.ledger.moved import rows_of_source, rows_of_target
from tests.postgres.databases import Databases
from tests.postgres.servers import serving
from tests.process.children import Child, python, until
from tests.process.errands import Errand
from tests.process.house import House, Neighbours
from tests.process.postgres_house import PostgresHouse

FAULTS = itertools.cycle([("fal", ""), ("fal", "lost"), ("fal", "duplicate"), ("fal", "failed"), ("heygen", "")])
JOBS_TO_INTERRUPT = 10_000


class Client:
    """Somebody who asks for jobs all the time, each under its own Idempotency-Key until it is answered."""

    def __init__(self) -> None:
        self.accepted: dict[str, Errand] = {}
        self.unanswered: list[Errand] = []

    def ask(self, house: House, errand: Errand | None = None) -> None:
        if errand is None:
            provider, faults = next(FAULTS)
            errand = Errand(provider=provider, faults=faults)
        job_id = house.ask(errand)
        if job_id is None:
            self.unanswered.append(errand)
        else:
            assert self.accepted.setdefault(job_id, errand) is errand

    def ask_again(self, house: House) -> None:
        unanswered, self.unanswered = self.unanswered, []
        for errand in unanswered:
            self.ask(house, errand)

    @contextlib.contextmanager
    def asking(self, house: House) -> Iterator[None]:
        """Ask without a pause, until the block is over."""
        over = threading.Event()

        def ask() -> None:
            while not over.wait(0.02):
                self.ask(house)

        thread = threading.Thread(target=ask)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def copying(folder: Path, source: Path, target: str, *words: str) -> Child:
    command = python("-m", "receiver", "copy", "--from", f"sqlite:///{source}", "--to", target, *words)
    return Child(folder / "copy.log", command, {})


def copied(folder: Path, source: Path, target: str, *words: str) -> str:
    """Make a pass that must succeed, and return what it says."""
    child = copying(folder, source, target, *words)
    assert child.ended(60) == 0, child.said
    return child.said


def refused(folder: Path, source: Path, target: str, *words: str) -> str:
    """Make a pass that must fail with one line, and return that."""
    child = copying(folder, source, target, *words)
    assert child.ended(60) == 1, child.said
    [line] = child.said.splitlines()
    return line.removeprefix("renderhook: ")


@pytest.fixture
def moved(house: House, neighbours: Neighbours, database_url: str, tmp_path: Path) -> Iterator[PostgresHouse]:
    """The house after the move: the same address and settings, and another ledger."""
    after = PostgresHouse(tmp_path / "after", neighbours, database_url)
    house.settings["FAL_RECONCILE_SECONDS"] = "0.5"
    after.settings = house.settings | {"DATABASE_URL": database_url}
    after.url, after.api_key = house.url, house.api_key
    yield after
    after.close()


def test_a_ledger_moves_under_load_and_every_job_ends_once_and_is_told_once(
    house: House, moved: PostgresHouse, neighbours: Neighbours, tmp_path: Path
) -> None:
    client, target = Client(), moved.settings["DATABASE_URL"]
    house.start()
    with client.asking(house):
        until("much is under way", lambda: len(client.accepted) > 20)
        said = copied(tmp_path, house.database, target, "--while-running")
        assert "copy once more without --while-running" in said
        assert "--while-running" in refused(tmp_path, house.database, target)
        assert house.stop() == 0
    open_then = house.rows("SELECT id FROM jobs WHERE finalized_at IS NULL")
    told_then = {each["webhook_id"] for each in neighbours.received()}
    assert "moved: " in copied(tmp_path, house.database, target)
    [line] = last_words(house)
    assert "was moved to" in line
    moved.start()
    assert "nothing was done" in copied(tmp_path, house.database, target)
    client.ask_again(moved)
    assert client.unanswered == []
    moved.wait_settled(30)
    judge(moved, client)
    assert open_then
    delivered = {row["id"] for row in moved.rows("SELECT id FROM deliveries WHERE state = 'delivered'")}
    told = {each["webhook_id"]: each["attempts"] for each in neighbours.received() if each["job_id"] in client.accepted}
    assert told == dict.fromkeys(delivered, 1)
    assert told_then & delivered
    assert delivered - told_then


def last_words(house: House) -> list[str]:
    child = house.launch()
    assert child.ended() == 1, child.said
    return child.said.splitlines()


def judge(house: House, client: Client) -> None:
    """Every job that was answered is there, ended as its errand says, submitted once, and told whole."""
    jobs = {str(row["id"]): str(row["state"]) for row in house.rows("SELECT id, state FROM jobs")}
    assert jobs == {
        job_id: "failed" if errand.faults == "failed" else "completed" for job_id, errand in client.accepted.items()
    }
    for errand in client.accepted.values():
        assert len(house.neighbours.submissions(errand)) == 1
    events = Counter(str(row["subject"]) for row in house.rows("SELECT subject FROM events"))
    assert events == dict.fromkeys(jobs, 3)
    assert house.rows("SELECT id FROM deliveries WHERE state <> 'delivered'") == []


# --- cut short ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger whose copying takes a while."""
    ground = lay(tmp_path_factory.mktemp("ground"), open_jobs=100, finished_jobs=JOBS_TO_INTERRUPT)
    return ground.folder / "ledger.db"


def arriving(target: str) -> int:
    """How many jobs have been brought so far."""
    with psycopg.connect(target) as connection:
        made = connection.execute("SELECT to_regclass('jobs') IS NOT NULL").fetchone()
        [number] = connection.execute("SELECT count(*) FROM jobs").fetchone() or (0,) if made and made[0] else (0,)
        return int(number)


def test_killed_in_the_middle_it_leaves_a_target_that_is_shut_and_the_next_pass_completes_it(
    ledger: Path, house: House, moved: PostgresHouse, tmp_path: Path
) -> None:
    target = moved.settings["DATABASE_URL"]
    child = copying(tmp_path, ledger, target)
    until("some has arrived", lambda: arriving(target) > 0)
    child.kill()
    assert 0 < sum(map(len, rows_of_target(target).values())) < sum(map(len, rows_of_source(ledger).values()))
    [line] = last_words(moved)
    assert "a copy that is not finished" in line
    moved.rows("INSERT INTO endpoints (id, url, source, created_at) VALUES ('ep_zzz', 'https://x/', 'job', 1)")
    differing = copying(tmp_path, ledger, target)
    assert differing.ended(60) == 1, differing.said
    assert "in endpoints, ep_zzz is only at the target" in differing.said.splitlines()[-1]
    moved.rows("DELETE FROM endpoints WHERE id = 'ep_zzz'")
    assert "moved: " in copied(tmp_path, ledger, target)
    assert rows_of_target(target) == rows_of_source(ledger)
    assert "undone" in copied(tmp_path, ledger, target, "--undo")


def test_a_database_that_dies_in_the_middle_is_told_in_one_line_and_the_next_pass_completes_it(
    ledger: Path, tmp_path: Path
) -> None:
    with serving(fsync=False) as server:
        target = server.create_database("target")
        child = copying(tmp_path, ledger, target, "--while-running")
        until("some has arrived", lambda: arriving(target) > 0)
        server.kill()
        assert child.ended(30) == 1, child.said
        assert "Traceback" not in child.said
        assert child.said.splitlines()[-1].startswith("renderhook: the copy stopped: ")
        assert child.said.count("renderhook: ") == 1
        server.start()
        copied(tmp_path, ledger, target, "--while-running")
        assert rows_of_target(target) == rows_of_source(ledger)


def test_what_cannot_be_copied_is_told_in_one_line(tmp_path: Path, ledger: Path, postgres_server: Databases) -> None:
    nowhere = "postgres://postgres@127.0.0.1:1/none"
    assert "is not there" in refused(tmp_path, tmp_path / "none.db", nowhere)
    assert "127.0.0.1" in refused(tmp_path, ledger, nowhere)
    assert "does not exist" in refused(tmp_path, ledger, postgres_server.url("no_such_database"))
    assert "no other way" in refused(tmp_path, ledger, f"sqlite:///{ledger}")
    assert "not --while-running" in refused(tmp_path, ledger, nowhere, "--while-running", "--undo")
