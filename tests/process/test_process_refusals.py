"""Reasons not to start: one line for each fault, exit code 1, and nothing changed."""

import contextlib
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.children import Child, answers, until
from tests.process.deployment import Deployment, Services
from tests.process.disks import LIMITED, MOUNTED, needs_mounts
from tests.process.job_requests import JobRequest


def refusal(deployment: Deployment, *command: str) -> list[str]:
    """Start a receiver that must fail, and return its lines."""
    return failed_output(deployment.launch(*command))


def failed_output(child: Child) -> list[str]:
    """Wait for a receiver that must fail, and return its lines."""
    assert child.wait() == 1, child.output
    lines = child.output.splitlines()
    assert all(line.startswith("renderhook: ") for line in lines), child.output
    return [line.removeprefix("renderhook: ") for line in lines]


@pytest.fixture(scope="module", autouse=True)
def locked_out(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Iterator[Deployment]:
    """A deployment whose database is locked: its receiver waits five seconds, while the other tests run."""
    deployment = Deployment(tmp_path_factory.mktemp("waiting"), services)
    deployment.database.parent.mkdir()
    with contextlib.closing(sqlite3.connect(deployment.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        deployment.launch()
        yield deployment
        deployment.close()


def test_every_faulty_setting_has_a_line_and_nothing_is_created(deployment: Deployment) -> None:
    wrong = {"PORT": "0", "FAL_QUEUE_URL": "queue", "RESUBMIT_UNCONFIRMED": "twice", "NOTIFY_SECRET": "whsec_short"}
    deployment.settings |= wrong
    assert sorted(line.partition(":")[0] for line in refusal(deployment)) == sorted(wrong)
    assert not deployment.database.parent.exists()


def test_a_public_address_without_keys_is_refused_with_a_command_that_makes_them(deployment: Deployment) -> None:
    deployment.settings |= {"PUBLIC_URL": "https://renders.example.com", "SECRET_KEY": "", "API_KEY": ""}
    secret, api = refusal(deployment)
    assert secret.startswith("SECRET_KEY: must be set")
    assert api.startswith("API_KEY: must be set")
    assert "python -c" in secret
    assert not deployment.database.parent.exists()


@pytest.mark.parametrize("place", ["below a file", "a folder"])
def test_a_database_that_cannot_be_written_is_refused(place: str, deployment: Deployment, tmp_path: Path) -> None:
    if place == "below a file":
        deployment.database.parent.write_text("in the way")
    else:
        deployment.database.mkdir(parents=True)
    (line,) = refusal(deployment)
    assert str(deployment.database.parent) in line


@needs_mounts
def test_a_read_only_file_system_is_refused(deployment: Deployment) -> None:
    deployment.database.parent.mkdir()
    (line,) = refusal(deployment, *MOUNTED.command(deployment.database.parent, "ro"))
    assert "Read-only file system" in line
    assert "DATABASE_URL" in line


@pytest.mark.parametrize(
    "disk", [pytest.param(MOUNTED, marks=needs_mounts, id="tmpfs"), pytest.param(LIMITED, id="rlimit")]
)
def test_a_full_disk_is_refused_at_startup(disk: type[MOUNTED] | type[LIMITED], deployment: Deployment) -> None:
    deployment.database.parent.mkdir()
    (line,) = refusal(deployment, *disk.command(deployment.database.parent, "size=48k"))
    assert str(deployment.database) in line
    assert ("free some disk space" if disk is MOUNTED else "disk I/O error") in line


def test_a_port_in_use_is_refused_and_no_database_created(deployment: Deployment) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(deployment.settings["PORT"])))
        other.listen()
        (line,) = refusal(deployment)
    assert f"port {deployment.settings['PORT']}" in line
    assert "change HOST or PORT" in line
    assert not deployment.database.parent.exists()


def test_one_of_two_receivers_started_on_one_port_is_refused(
    deployment: Deployment, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = Deployment(tmp_path_factory.mktemp("other"), deployment.services, PORT=deployment.settings["PORT"])
    children = [deployment.launch(), other.launch()]
    try:
        until("one has ended", lambda: [child for child in children if child.code() is not None])
        until("the other is ready", lambda: answers(deployment.services.http, f"{deployment.url}/readyz"))
        assert sorted(str(child.code()) for child in children) == ["1", "None"]
        (refused,) = (child for child in children if child.code() == 1)
        assert refused.output.startswith("renderhook: cannot listen on 127.0.0.1 port ")
        assert refused.output.count("\n") == 1
    finally:
        other.close()


def test_a_file_that_is_not_a_database_of_ours_is_refused_unchanged(deployment: Deployment) -> None:
    deployment.database.parent.mkdir()
    garbage = os.urandom(8192)
    deployment.database.write_bytes(garbage)
    (line,) = refusal(deployment)
    assert str(deployment.database) in line
    assert "damaged, or not a database of Renderhook" in line
    assert deployment.database.read_bytes() == garbage


def test_a_damaged_database_is_refused_unchanged(deployment: Deployment) -> None:
    deployment.start()
    deployment.submit(JobRequest())
    deployment.wait_settled()
    assert deployment.stop() == 0
    whole = deployment.database.read_bytes()
    damaged = whole[:4096] + b"\xa5" * (len(whole) - 8192) + whole[-4096:]
    deployment.database.write_bytes(damaged)
    (line,) = refusal(deployment)
    assert "damaged" in line
    assert "backup" in line
    assert deployment.database.read_bytes() == damaged


def test_a_database_in_use_by_another_receiver_is_refused(deployment: Deployment, tmp_path: Path) -> None:
    first = deployment.start()
    folder = tmp_path / "other"
    folder.mkdir()
    other = Deployment(folder, deployment.services, DATABASE_URL=deployment.settings["DATABASE_URL"])
    (line,) = refusal(other)
    assert "in use by another process" in line
    job_id = deployment.submit(JobRequest())
    deployment.wait_settled()
    assert deployment.job(str(job_id))["state"] == "completed"
    assert first.code() is None


def test_a_locked_database_is_refused_after_a_bounded_wait(locked_out: Deployment) -> None:
    assert locked_out.receiver
    (line,) = failed_output(locked_out.receiver)
    assert str(locked_out.database) in line
    assert "locked" in line
