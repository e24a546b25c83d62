"""The store on SQLite: its lock, its durability, and a full disk."""

import asyncio
import sqlite3
import stat
from pathlib import Path

import pytest

from ledger.errors import CannotOpen, Corrupt, DiskFull, Locked
from ledger.requests import NewJob
from ledger.sqlite.store import SQLiteStore, open_sqlite
from ledger.transitions import jobs
from tests.conftest import NOON, PROVIDERS

NEW = NewJob(provider="fal", model="a/b", input="{}")


@pytest.fixture
def store(sqlite_store: SQLiteStore) -> SQLiteStore:
    return sqlite_store


async def test_on_a_full_disk_writes_fail_until_there_is_room(store: SQLiteStore) -> None:
    await store._writer.execute("PRAGMA max_page_count = 1")  # no page can be added, so SQLite returns SQLITE_FULL
    results = await asyncio.gather(
        *(
            store.write(jobs.accept(NewJob(provider="fal", model="a/b", input="x" * 50_000), now=NOON))
            for _ in range(3)
        ),
        return_exceptions=True,
    )
    assert all(isinstance(result, DiskFull) for result in results)
    assert await jobs.list_jobs(store, limit=10) == []
    await store._writer.execute("PRAGMA max_page_count = 1000000")
    assert (await store.write(jobs.accept(NEW, now=NOON))).new


async def test_a_second_process_is_refused_with_the_name_of_the_file(tmp_path: Path, store: SQLiteStore) -> None:
    with pytest.raises(Locked, match=r"ledger\.db is in use by another process"):
        await open_sqlite(tmp_path / "ledger.db", now=NOON, providers=PROVIDERS)


async def test_a_file_that_is_not_a_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database" * 100)
    with pytest.raises(Corrupt, match="not a database of Renderhook"):
        await open_sqlite(tmp_path / "text.db", now=NOON, providers=PROVIDERS)


async def test_a_folder_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotOpen, match="DATABASE_URL must name a writable folder"):
        await open_sqlite(tmp_path / "file" / "ledger.db", now=NOON, providers=PROVIDERS)


async def test_every_commit_is_fsynced(store: SQLiteStore) -> None:
    rows = {
        pragma: next(iter(await store._writer.execute_fetchall(f"PRAGMA {pragma}")))[pragma]
        for pragma in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert rows == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}


async def test_the_file_passes_integrity_checks_after_use(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "a.db", now=NOON, providers=PROVIDERS)
    await store.write(jobs.accept(NEW, now=NOON))
    await store.close()
    connection = sqlite3.connect(tmp_path / "a.db")
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


async def test_the_files_of_a_new_database_can_be_read_by_their_owner_only(tmp_path: Path) -> None:
    store = await open_sqlite(tmp_path / "ledger.db", now=NOON)
    modes = modes_of(tmp_path)
    await store.close()
    assert {"ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.db.lock"} <= modes.keys()
    assert set(modes.values()) == {0o600}


async def test_the_mode_of_a_database_that_exists_is_kept(tmp_path: Path) -> None:
    await (await open_sqlite(tmp_path / "ledger.db", now=NOON)).close()
    (tmp_path / "ledger.db").chmod(0o640)
    await (await open_sqlite(tmp_path / "ledger.db", now=NOON)).close()
    assert modes_of(tmp_path)["ledger.db"] == 0o640


def modes_of(folder: Path) -> dict[str, int]:
    return {file.name: stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}
