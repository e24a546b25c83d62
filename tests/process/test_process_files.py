"""The files of SQLite: private, and noticed when they are deleted or replaced under the running process."""

import shutil
from pathlib import Path

import pytest

from tests.process.children import until
from tests.process.deployment import Deployment
from tests.process.job_requests import JobRequest


def ready(deployment: Deployment) -> int:
    return deployment.services.http.get(f"{deployment.url}/readyz").status_code


def modes(folder: Path) -> dict[str, str]:
    return {file.name: oct(file.stat().st_mode & 0o777) for file in folder.iterdir()}


def test_only_the_owner_can_read_the_files_of_a_new_database(deployment: Deployment) -> None:
    deployment.start(umask=0o022)
    deployment.submit(JobRequest())
    deployment.wait_settled()
    names = {f"renderhook.db{suffix}" for suffix in ("", "-wal", "-shm", ".lock")}
    assert modes(deployment.database.parent) == dict.fromkeys(names, "0o600")


def test_other_users_lose_access_to_a_database_that_was_restored_for_all(deployment: Deployment) -> None:
    deployment.start()
    assert deployment.stop() == 0
    deployment.database.chmod(0o664)
    deployment.start(umask=0o022)
    found = modes(deployment.database.parent)
    assert {found[name] for name in ("renderhook.db", "renderhook.db-wal", "renderhook.db-shm")} == {"0o660"}


@pytest.mark.parametrize("suffix", ["", "-wal", ".lock"])
@pytest.mark.parametrize("deed", ["deleted", "replaced"])
def test_a_file_that_is_deleted_or_replaced_is_answered_503_with_one_line(
    deed: str, suffix: str, deployment: Deployment, tmp_path: Path
) -> None:
    deployment.start()
    job_id = deployment.submit(JobRequest())
    deployment.wait_settled()
    file = Path(f"{deployment.database}{suffix}")
    if deed == "replaced":
        shutil.copy(file, tmp_path / "copy")
        (tmp_path / "copy").replace(file)
    else:
        file.unlink()
    request = deployment.call("POST", "/v1/jobs", json=JobRequest().body)  # at once: nothing is accepted and lost
    assert request.status_code == 503, request.text
    assert deployment.call("GET", f"/v1/jobs/{job_id}").status_code == 503
    until("it is logged", lambda: deployment.logged("database.file_lost"), seconds=2)
    assert ready(deployment) == 503
    assert "deleted or replaced" in deployment.services.http.get(f"{deployment.url}/readyz").json()["status"]
    [line] = deployment.logged("database.file_lost", level="warning")
    words = "was deleted" if deed == "deleted" else "was replaced by another file"
    assert line["error"].startswith(f"{file} {words} while this process had it open: nothing is recorded any more.")
    assert deployment.stop() == 0


def test_a_file_that_is_back_in_its_place_is_used_again(deployment: Deployment, tmp_path: Path) -> None:
    deployment.start()
    deployment.database.rename(tmp_path / "away.db")
    until("it is not ready", lambda: ready(deployment) == 503, seconds=2)
    (tmp_path / "away.db").rename(deployment.database)
    until("it is ready", lambda: ready(deployment) == 200, seconds=2)
    job_id = deployment.submit(JobRequest())
    deployment.wait_settled()
    assert deployment.job(str(job_id))["state"] == "completed"
    assert [event["reason"] for event in deployment.logged("receiver.became_unready")] == [
        "the file of the database was deleted or replaced"
    ]
