"""What keeps a receiver from starting: one clear line for each thing wrong, a failure's exit code, nothing harmed."""

import contextlib
import os
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.children import Child, answers, until
from tests.process.disks import LIMITED, MOUNTED, needs_mounts
from tests.process.errands import Errand
from tests.process.house import House, Neighbours


def refusal(house: House, *command: str) -> list[str]:
    """Start a receiver that must not start, and return what it says."""
    return last_words(house.launch(*command))


def last_words(child: Child) -> list[str]:
    """Wait for a receiver that must give up, and return what it says."""
    assert child.ended() == 1, child.said
    lines = child.said.splitlines()
    assert all(line.startswith("renderhook: ") for line in lines), child.said
    return [line.removeprefix("renderhook: ") for line in lines]


@pytest.fixture(scope="module", autouse=True)
def kept_waiting(tmp_path_factory: pytest.TempPathFactory, neighbours: Neighbours) -> Iterator[House]:
    """A house whose ledger somebody else writes to: its receiver waits five seconds, while the other tests run."""
    house = House(tmp_path_factory.mktemp("waiting"), neighbours)
    house.database.parent.mkdir()
    with contextlib.closing(sqlite3.connect(house.database, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        house.launch()
        yield house
        house.close()


def test_every_faulty_setting_has_its_line_and_nothing_is_made(house: House) -> None:
    wrong = {"PORT": "0", "FAL_QUEUE_URL": "queue", "RESUBMIT_UNCONFIRMED": "twice", "NOTIFY_SECRET": "whsec_short"}
    house.settings |= wrong
    assert sorted(line.partition(":")[0] for line in refusal(house)) == sorted(wrong)
    assert not house.database.parent.exists()


def test_a_public_address_without_keys_is_refused_with_the_way_to_make_them(house: House) -> None:
    house.settings |= {"PUBLIC_URL": "https://renders.example.com", "SECRET_KEY": "", "API_KEY": ""}
    secret, api = refusal(house)
    assert secret.startswith("SECRET_KEY: must be set")
    assert api.startswith("API_KEY: must be set")
    assert "python -c" in secret
    assert not house.database.parent.exists()


@pytest.mark.parametrize("place", ["below a file", "a folder"])
def test_a_database_that_cannot_be_written_is_refused(place: str, house: House, tmp_path: Path) -> None:
    if place == "below a file":
        house.database.parent.write_text("in the way")
    else:
        house.database.mkdir(parents=True)
    (line,) = refusal(house)
    assert str(house.database.parent) in line


@needs_mounts
def test_a_read_only_file_system_is_refused(house: House) -> None:
    house.database.parent.mkdir()
    (line,) = refusal(house, *MOUNTED.command(house.database.parent, "ro"))
    assert "Read-only file system" in line
    assert "DATABASE_URL" in line


@pytest.mark.parametrize(
    "disk", [pytest.param(MOUNTED, marks=needs_mounts, id="tmpfs"), pytest.param(LIMITED, id="rlimit")]
)
def test_a_disk_that_is_full_at_the_start_is_refused(disk: type[MOUNTED] | type[LIMITED], house: House) -> None:
    house.database.parent.mkdir()
    (line,) = refusal(house, *disk.command(house.database.parent, "size=48k"))
    assert str(house.database) in line
    assert ("free some disk space" if disk is MOUNTED else "disk I/O error") in line


def test_a_port_in_use_is_refused_and_no_ledger_made(house: House) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(house.settings["PORT"])))
        other.listen()
        (line,) = refusal(house)
    assert f"port {house.settings['PORT']}" in line
    assert "change HOST or PORT" in line
    assert not house.database.parent.exists()


def test_of_two_that_start_on_one_port_at_once_one_is_refused(
    house: House, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = House(tmp_path_factory.mktemp("other"), house.neighbours, PORT=house.settings["PORT"])
    children = [house.launch(), other.launch()]
    try:
        until("one has ended", lambda: [child for child in children if child.code() is not None])
        until("the other is ready", lambda: answers(house.neighbours.http, f"{house.url}/readyz"))
        assert sorted(str(child.code()) for child in children) == ["1", "None"]
        (refused,) = (child for child in children if child.code() == 1)
        assert refused.said.startswith("renderhook: cannot listen on 127.0.0.1 port ")
        assert refused.said.count("\n") == 1
    finally:
        other.close()


def test_a_file_that_is_no_ledger_is_refused_and_left_as_it_is(house: House) -> None:
    house.database.parent.mkdir()
    garbage = os.urandom(8192)
    house.database.write_bytes(garbage)
    (line,) = refusal(house)
    assert str(house.database) in line
    assert "damaged, or not a database of Renderhook" in line
    assert house.database.read_bytes() == garbage


def test_a_ledger_damaged_in_the_middle_is_refused_and_left_as_it_is(house: House) -> None:
    house.start()
    house.ask(Errand())
    house.wait_settled()
    assert house.stop() == 0
    whole = house.database.read_bytes()
    damaged = whole[:4096] + b"\xa5" * (len(whole) - 8192) + whole[-4096:]
    house.database.write_bytes(damaged)
    (line,) = refusal(house)
    assert "damaged" in line
    assert "backup" in line
    assert house.database.read_bytes() == damaged


def test_a_ledger_that_another_receiver_has_is_refused_and_that_one_goes_on(house: House, tmp_path: Path) -> None:
    first = house.start()
    folder = tmp_path / "other"
    folder.mkdir()
    other = House(folder, house.neighbours, DATABASE_URL=house.settings["DATABASE_URL"])
    (line,) = refusal(other)
    assert "in use by another process" in line
    job_id = house.ask(Errand())
    house.wait_settled()
    assert house.job(str(job_id))["state"] == "completed"
    assert first.code() is None


def test_a_ledger_that_somebody_else_writes_to_is_refused_after_a_bounded_wait(kept_waiting: House) -> None:
    assert kept_waiting.receiver
    (line,) = last_words(kept_waiting.receiver)
    assert str(kept_waiting.database) in line
    assert "locked" in line
