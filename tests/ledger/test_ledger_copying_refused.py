"""What a copy refuses, and where it may be interrupted: nothing is overwritten, and it is finished later."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from ledger.copying.copy import copy
from ledger.copying.source import Chunk
from ledger.copying.target import Target
from ledger.errors import CannotOpen, LedgerError, Locked, Unavailable
from ledger.postgres.store import open_postgres
from ledger.sqlite.store import open_sqlite
from tests.conftest import NOON, PROVIDERS
from tests.ledger.conftest import Story
from tests.ledger.moved import (
    TABLES_MADE,
    ask,
    open_job,
    opens,
    opens_file,
    pass_over,
    path,
    rows_of_source,
    rows_of_target,
    small_chunks,
    undo,
)
from tests.postgres.databases import Databases

__all__ = ["path", "small_chunks"]


# --- what is refused ------------------------------------------------------------------------------------------------


async def test_a_ledger_that_lived_on_its_own_is_not_overwritten(path: Path, ledger_url: str) -> None:
    store = await open_postgres(ledger_url, now=NOON, connections=1, seconds=5, providers=PROVIDERS)
    await Story(store).accept()
    await store.close()
    before = rows_of_target(ledger_url)
    with pytest.raises(CannotOpen, match="a ledger of its own"):
        await pass_over(path, ledger_url)
    assert rows_of_target(ledger_url) == before
    assert await opens(ledger_url)


async def test_an_empty_ledger_on_postgres_is_taken(path: Path, ledger_url: str) -> None:
    assert (await pass_over(path, ledger_url)).moved


async def test_a_database_that_a_worker_is_at_is_refused(path: Path, ledger_url: str) -> None:
    store = await open_postgres(ledger_url, now=NOON, connections=1, seconds=5, providers=PROVIDERS)
    with pytest.raises(CannotOpen, match="a receiver is connected"):
        await pass_over(path, ledger_url)
    await store.close()
    assert await opens(ledger_url)


async def test_a_copy_of_another_ledger_is_refused(path: Path, tmp_path: Path, database_url: str) -> None:
    await pass_over(path, database_url, while_running=True)
    await (await open_sqlite(tmp_path / "other.db", now=NOON + 1, providers=PROVIDERS)).close()
    with pytest.raises(CannotOpen, match="a copy of another ledger"):
        await pass_over(tmp_path / "other.db", database_url)


async def test_a_target_that_has_been_at_work_since_is_compared_and_never_written(
    path: Path, database_url: str
) -> None:
    await pass_over(path, database_url)
    store = await open_postgres(database_url, now=NOON, connections=1, seconds=5, providers=PROVIDERS)
    await Story(store).report(open_job(path), request_id="req-open")
    await store.close()
    before = rows_of_target(database_url)
    with pytest.raises(CannotOpen, match="going back would lose that"):
        await undo(path, database_url)
    assert not await opens_file(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM moved_to")  # as a backup of before the move is
    copied = await pass_over(path, database_url)
    assert copied.fault
    assert copied.fault.startswith(f"the two ledgers differ: in events, {open_job(path)} 3 is only at the target; ")
    assert "nothing was changed" in copied.fault
    assert rows_of_target(database_url) == before
    assert await opens(database_url)


async def test_a_ledger_that_was_moved_is_not_moved_elsewhere(path: Path, database_url: str, ledger_url: str) -> None:
    await pass_over(path, database_url)
    with pytest.raises(CannotOpen, match="was moved to"):
        await pass_over(path, ledger_url)
    assert rows_of_target(ledger_url)["jobs"] == []
    assert await opens(ledger_url)


async def test_two_copies_at_once_are_one_too_many(path: Path, database_url: str) -> None:
    await pass_over(path, database_url, while_running=True)
    with psycopg.connect(database_url) as other:
        other.execute(f"SELECT pg_advisory_xact_lock({0x636F7079})")
        with pytest.raises(Locked, match="another copy"):
            await pass_over(path, database_url)
    assert await opens_file(path)


async def test_a_database_of_another_encoding_is_refused(path: Path, postgres_server: Databases) -> None:
    name = f"test_latin_{NOON}"
    postgres_server.query(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    try:
        with pytest.raises(CannotOpen, match="encoding is LATIN1"):
            await pass_over(path, postgres_server.url(name))
    finally:
        postgres_server.drop_database(name)


async def test_a_source_that_is_not_there_or_no_ledger_is_refused_and_nothing_made(
    tmp_path: Path, database_url: str
) -> None:
    with pytest.raises(CannotOpen, match="is not there"):
        await pass_over(tmp_path / "none.db", database_url)
    (tmp_path / "noise.db").write_bytes(b"no ledger at all" * 1000)
    with pytest.raises(CannotOpen, match="not a database of Renderhook"):
        await pass_over(tmp_path / "noise.db", database_url, while_running=True)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE jobs (id)")
    with pytest.raises(CannotOpen, match="is not a database of Renderhook"):
        await pass_over(tmp_path / "other.db", database_url, while_running=True)
    assert sorted(os.listdir(tmp_path)) == ["noise.db", "other.db"]  # noqa: PTH208 - pathlib is not for async tests
    assert ask(database_url, TABLES_MADE) == []


async def test_another_releases_ledger_is_refused_on_either_side(path: Path, database_url: str) -> None:
    await pass_over(path, database_url, while_running=True)
    newer = "INSERT INTO migrations (number, name, phase, checksum, applied_at) VALUES (2, 'newer', 'expand', 'x', 1)"
    ask(database_url, newer)
    with pytest.raises(CannotOpen, match="another release's ledger"):
        await pass_over(path, database_url)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(newer)
    with pytest.raises(CannotOpen, match="another release's schema"):
        await pass_over(path, database_url)


@pytest.mark.parametrize(
    ("one", "other"),
    [("postgres://a/b", "sqlite:///b"), ("sqlite:///a", "sqlite:///a"), ("postgres://a/b", "postgres://a/b"), ("", "")],
)
async def test_no_other_way_is_gone(one: str, other: str) -> None:
    with pytest.raises(CannotOpen, match="and no other way"):
        await copy(one, other, now=NOON, while_running=False, report=print)


async def test_a_database_that_is_away_leaves_the_source_open(path: Path) -> None:
    with pytest.raises(LedgerError):
        await pass_over(path, "postgres://postgres@127.0.0.1:1/none")
    assert await opens_file(path)


# --- cut short, and taken back --------------------------------------------------------------------------------------


async def test_cut_short_between_shutting_one_and_opening_the_other_it_is_finished_by_the_next(
    path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def die(self: Target, tables: object, now: int) -> None:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(Target, "finish", die)
    with pytest.raises(Unavailable, match="Run it again"):
        await pass_over(path, database_url)
    monkeypatch.undo()
    assert not await opens_file(path)
    assert not await opens(database_url)
    assert (await pass_over(path, database_url)).moved
    assert await opens(database_url)


async def test_cut_short_anywhere_it_goes_on_from_there(
    path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = Target.write, 0

    async def write_some(self: Target, chunk: Chunk, *, empty: bool) -> int:
        nonlocal left
        left -= 1
        if left < 0:
            raise psycopg.OperationalError("gone")
        return await write(self, chunk, empty=empty)

    monkeypatch.setattr(Target, "write", write_some)
    passes, copied = 0, None
    while copied is None:
        passes, left = passes + 1, 2
        try:
            copied = await pass_over(path, database_url)
        except Unavailable:
            assert not await opens(database_url)
            assert await opens_file(path)
    assert passes > 5
    assert copied.moved
    assert rows_of_target(database_url) == rows_of_source(path)


async def test_a_move_is_undone_while_nothing_has_happened_and_done_again(path: Path, database_url: str) -> None:
    await pass_over(path, database_url)
    await undo(path, database_url)
    assert not await opens(database_url)
    assert await opens_file(path)
    with pytest.raises(CannotOpen, match="nothing to undo"):
        await undo(path, database_url)
    store = await open_sqlite(path, now=NOON, providers=PROVIDERS)
    await Story(store).accept()
    await store.close()
    copied = await pass_over(path, database_url)
    assert copied.moved
    assert [each.written for each in copied.sums if each.table == "jobs"] == [2]  # and one whose claim ended


async def test_a_move_is_not_undone_under_a_worker(path: Path, database_url: str) -> None:
    await pass_over(path, database_url)
    store = await open_postgres(database_url, now=NOON, connections=1, seconds=5, providers=PROVIDERS)
    with pytest.raises(CannotOpen, match="a receiver is connected"):
        await undo(path, database_url)
    await store.close()
    assert await opens(database_url)
    assert not await opens_file(path)
