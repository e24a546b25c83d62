"""A database is copied to Postgres while a receiver uses it, and after interruptions: nothing is lost or done twice."""

import contextlib
import itertools
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.bench.dataset import make_dataset
from tests.ledger.copies import rows_of_source, rows_of_target
from tests.postgres.databases import Databases
from tests.postgres.servers import serving
from tests.process.children import Child, python, until
from tests.process.deployment import Deployment, Services
from tests.process.job_requests import JobRequest
from tests.process.postgres_deployment import PostgresDeployment

FAULTS = itertools.cycle([("fal", ""), ("fal", "lost"), ("fal", "duplicate"), ("fal", "failed"), ("heygen", "")])
JOBS_TO_INTERRUPT = 10_000


class Client:
    """Submits jobs all the time, each under its own Idempotency-Key until it is answered."""

    def __init__(self) -> None:
        self.accepted: dict[str, JobRequest] = {}
        self.unanswered: list[JobRequest] = []

    def submit(self, deployment: Deployment, job_request: JobRequest | None = None) -> None:
        if job_request is None:
            provider, faults = next(FAULTS)
            job_request = JobRequest(provider=provider, faults=faults)
        job_id = deployment.submit(job_request)
        if job_id is None:
            self.unanswered.append(job_request)
        else:
            assert self.accepted.setdefault(job_id, job_request) is job_request

    def submit_again(self, deployment: Deployment) -> None:
        unanswered, self.unanswered = self.unanswered, []
        for job_request in unanswered:
            self.submit(deployment, job_request)

    @contextlib.contextmanager
    def submitting(self, deployment: Deployment) -> Iterator[None]:
        """Submit jobs until the block ends."""
        over = threading.Event()

        def run() -> None:
            while not over.wait(0.02):
                self.submit(deployment)

        thread = threading.Thread(target=run)
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
    """Run a copy that must succeed, and return its output."""
    child = copying(folder, source, target, *words)
    assert child.wait(60) == 0, child.output
    return child.output


def refused(folder: Path, source: Path, target: str, *words: str) -> str:
    """Run a copy that must fail with one line, and return that line."""
    child = copying(folder, source, target, *words)
    assert child.wait(60) == 1, child.output
    [line] = child.output.splitlines()
    return line.removeprefix("renderhook: ")


@pytest.fixture
def moved(
    deployment: Deployment, services: Services, database_url: str, tmp_path: Path
) -> Iterator[PostgresDeployment]:
    """The deployment after the move: the same address and settings, another database."""
    after = PostgresDeployment(tmp_path / "after", services, database_url)
    deployment.settings["FAL_RECONCILE_SECONDS"] = "0.5"
    after.settings = deployment.settings | {"DATABASE_URL": database_url}
    after.url, after.api_key = deployment.url, deployment.api_key
    yield after
    after.close()


def test_a_database_moves_under_load_and_each_job_ends_once_and_is_delivered_once(
    deployment: Deployment, moved: PostgresDeployment, services: Services, tmp_path: Path
) -> None:
    client, target = Client(), moved.settings["DATABASE_URL"]
    deployment.start()
    with client.submitting(deployment):
        until("twenty jobs are accepted", lambda: len(client.accepted) > 20)
        output = copied(tmp_path, deployment.database, target, "--while-running")
        assert "copy once more without --while-running" in output
        assert "--while-running" in refused(tmp_path, deployment.database, target)
        assert deployment.stop() == 0
    open_before = deployment.rows("SELECT id FROM jobs WHERE finalized_at IS NULL")
    received_before = {each["webhook_id"] for each in services.received()}
    assert "moved: " in copied(tmp_path, deployment.database, target)
    [line] = failed_output(deployment)
    assert "was moved to" in line
    moved.start()
    assert "nothing was done" in copied(tmp_path, deployment.database, target)
    client.submit_again(moved)
    assert client.unanswered == []
    moved.wait_settled(30)
    check_outcomes(moved, client)
    assert open_before
    delivered = {row["id"] for row in moved.rows("SELECT id FROM deliveries WHERE state = 'delivered'")}
    attempts = {
        each["webhook_id"]: each["attempts"] for each in services.received() if each["job_id"] in client.accepted
    }
    assert attempts == dict.fromkeys(delivered, 1)
    assert received_before & delivered
    assert delivered - received_before


def failed_output(deployment: Deployment) -> list[str]:
    child = deployment.launch()
    assert child.wait() == 1, child.output
    return child.output.splitlines()


def check_outcomes(deployment: Deployment, client: Client) -> None:
    """Check that every accepted job has its outcome, one submission, and all its events delivered."""
    jobs = {str(row["id"]): str(row["state"]) for row in deployment.rows("SELECT id, state FROM jobs")}
    assert jobs == {
        job_id: "failed" if job_request.faults == "failed" else "completed"
        for job_id, job_request in client.accepted.items()
    }
    for job_request in client.accepted.values():
        assert len(deployment.services.submissions(job_request)) == 1
    events = Counter(str(row["subject"]) for row in deployment.rows("SELECT subject FROM events"))
    assert events == dict.fromkeys(jobs, 3)
    assert deployment.rows("SELECT id FROM deliveries WHERE state <> 'delivered'") == []


# --- interrupted ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that takes a while to copy."""
    dataset = make_dataset(tmp_path_factory.mktemp("dataset"), open_jobs=100, finished_jobs=JOBS_TO_INTERRUPT)
    return dataset.folder / "ledger.db"


def count_copied(target: str) -> int:
    """Count the jobs copied so far."""
    with psycopg.connect(target) as connection:
        made = connection.execute("SELECT to_regclass('jobs') IS NOT NULL").fetchone()
        [number] = connection.execute("SELECT count(*) FROM jobs").fetchone() or (0,) if made and made[0] else (0,)
        return int(number)


def test_a_killed_copy_leaves_a_target_that_no_receiver_opens_and_the_next_completes_it(
    ledger: Path, deployment: Deployment, moved: PostgresDeployment, tmp_path: Path
) -> None:
    target = moved.settings["DATABASE_URL"]
    child = copying(tmp_path, ledger, target)
    until("some jobs are copied", lambda: count_copied(target) > 0)
    child.kill()
    assert 0 < sum(map(len, rows_of_target(target).values())) < sum(map(len, rows_of_source(ledger).values()))
    [line] = failed_output(moved)
    assert "a copy that is not finished" in line
    moved.rows("INSERT INTO endpoints (id, url, source, created_at) VALUES ('ep_zzz', 'https://x/', 'job', 1)")
    differing = copying(tmp_path, ledger, target)
    assert differing.wait(60) == 1, differing.output
    assert "in endpoints, ep_zzz is only at the target" in differing.output.splitlines()[-1]
    moved.rows("DELETE FROM endpoints WHERE id = 'ep_zzz'")
    assert "moved: " in copied(tmp_path, ledger, target)
    assert rows_of_target(target) == rows_of_source(ledger)
    assert "undone" in copied(tmp_path, ledger, target, "--undo")


def test_a_copy_whose_target_dies_ends_with_one_line_and_the_next_completes_it(ledger: Path, tmp_path: Path) -> None:
    with serving(fsync=False) as server:
        target = server.create_database("target")
        child = copying(tmp_path, ledger, target, "--while-running")
        until("some jobs are copied", lambda: count_copied(target) > 0)
        server.kill()
        assert child.wait(30) == 1, child.output
        assert "Traceback" not in child.output
        assert child.output.splitlines()[-1].startswith("renderhook: the copy stopped: ")
        assert child.output.count("renderhook: ") == 1
        server.start()
        copied(tmp_path, ledger, target, "--while-running")
        assert rows_of_target(target) == rows_of_source(ledger)


def test_a_copy_that_cannot_start_says_why_in_one_line(
    tmp_path: Path, ledger: Path, postgres_server: Databases
) -> None:
    nowhere = "postgres://postgres@127.0.0.1:1/none"
    assert "is not there" in refused(tmp_path, tmp_path / "none.db", nowhere)
    assert "127.0.0.1" in refused(tmp_path, ledger, nowhere)
    assert "does not exist" in refused(tmp_path, ledger, postgres_server.url("no_such_database"))
    assert "no other way" in refused(tmp_path, ledger, f"sqlite:///{ledger}")
    assert "not --while-running" in refused(tmp_path, ledger, nowhere, "--while-running", "--undo")
