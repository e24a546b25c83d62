"""A restored backup: what it would submit again becomes unconfirmed, and a callback settles what was submitted."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres.databases import Databases, fresh_database
from tests.process.children import Child, python, until
from tests.process.deployment import Deployment, Services
from tests.process.job_requests import JobRequest
from tests.process.postgres_deployment import PostgresDeployment
from tests.process.test_process_refusals import failed_output


def restored(deployment: Deployment) -> Child:
    """Run `renderhook restored` with the deployment's settings."""
    return Child(deployment.folder / "restored.log", python("-m", "renderhook", "restored"), deployment.settings)


def backed_up(deployment: Deployment, folder: Path) -> tuple[JobRequest, str]:
    """Accept a job that is submitted just after the backup was made, and lose everything since."""
    deployment.settings["PROVIDER_CONCURRENCY"] = "1"
    deployment.start()
    deployment.services.set_faults("429=1")  # not taken at first: the job stays accepted
    request = JobRequest(faults="long=3")
    job_id = str(deployment.submit(request))
    until("the provider did not take it", lambda: deployment.logged("job.submit_rescheduled", job=job_id))
    with sqlite3.connect(deployment.database) as file, sqlite3.connect(folder / "backup.db") as backup:
        file.backup(backup)
    deployment.services.set_faults("")
    until("it is submitted after all", lambda: deployment.services.submissions(request))
    deployment.kill()
    for suffix in ("", "-wal", "-shm"):
        Path(f"{deployment.database}{suffix}").unlink(missing_ok=True)
    shutil.copy(folder / "backup.db", deployment.database)
    return request, job_id


@pytest.fixture(autouse=True)
def no_faults_of_all_jobs(services: Services) -> Iterator[None]:
    yield
    services.set_faults("")


def test_a_job_that_was_submitted_after_the_backup_is_not_submitted_again(
    deployment: Deployment, tmp_path: Path
) -> None:
    request, job_id = backed_up(deployment, tmp_path)
    command = restored(deployment)
    assert (command.wait(), command.output) == (
        0,
        "1 jobs are unconfirmed now: each may have been submitted after the backup was made\n",
    )
    deployment.start()
    assert deployment.job(job_id)["state"] in {"unconfirmed", "completed"}
    until("its callback settles it", lambda: deployment.job(job_id)["state"] == "completed")
    assert len(deployment.services.submissions(request)) == 1
    events = [event["type"] for event in deployment.call("GET", f"/v1/jobs/{job_id}/events").json()["events"]]
    assert events == ["job.accepted", "job.unconfirmed", "job.completed"]


def test_the_command_is_refused_while_a_receiver_runs_on_sqlite(deployment: Deployment) -> None:
    deployment.start()
    (line,) = failed_output(restored(deployment))
    assert "in use by another process" in line


def test_the_command_is_refused_while_a_receiver_runs_on_postgres(
    tmp_path: Path, services: Services, postgres_server: Databases, migrated: str
) -> None:
    with fresh_database(postgres_server, template=migrated) as url:
        deployment = PostgresDeployment(tmp_path, services, url)
        try:
            deployment.start()
            (line,) = failed_output(restored(deployment))
            assert "a receiver or worker is connected to the database: stop it first" in line
            assert deployment.stop() == 0
            command = restored(deployment)
            assert (command.wait(), command.output[:10]) == (0, "0 jobs are")
        finally:
            deployment.close()
