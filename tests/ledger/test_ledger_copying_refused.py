"""What a copy refuses, interruptions, and undoing a move: nothing is overwritten or lost."""

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
from tests.ledger.conftest import Scenario
from tests.ledger.copies import (
    TABLES_MADE,
    execute,
    file_opens,
    open_job,
    path,
    rows_of_source,
    rows_of_target,
    run_pass,
    small_chunks,
    target_opens,
    undo,
)
from tests.postgres.databases import Databases

__all__ = ["path", "small_chunks"]


# --- refused --------------------------------------------------------------------------------------------------------


async def test_a_target_with_a_ledger_of_its_own_is_not_overwritten(path: Path, ledger_url: str) -> None:
    store = await open_postgres(ledger_url, now=NOON, connections=1, seconds=5, providers=PROVIDERS)
    await Scenario(store).accept()
    await store.close()
    before = rows_of_target(ledger_url)
    with pytest.raises(CannotOpen, match="a ledger of its own"):
        await run_pass(path, ledger_url)
    assert rows_of_target(ledger_url) == before
    assert await target_opens(ledger_url)


async def test_an_empty_ledger_is_accepted_as_the_target(path: Path, ledger_url: str) -> None:
    assert (await run_pass(path, ledger_url)).moved


async def test_a_target_to_which_a_receiver_is_connected_is_refused(path: Path, ledger_url: str) -> None:
    store = await open_postgres(ledger_url, now=NOON, connections=1, seconds=5, providers=PROVIDERS)
    with pytest.raises(CannotOpen, match="a receiver or worker is connected"):
        await run_pass(path, ledger_url)
    await store.close()
    assert await target_opens(ledger_url)


async def test_a_target_with_a_copy_of_another_ledger_is_refused(path: Path, tmp_path: Path, database_url: str) -> None:
    await run_pass(path, database_url, while_running=True)
    await (await open_sqlite(tmp_path / "other.db", now=NOON + 1, providers=PROVIDERS)).close()
    with pytest.raises(CannotOpen, match="a copy of another ledger"):
        await run_pass(tmp_path / "other.db", database_url)


async def test_a_target_that_was_used_since_the_move_is_compared_and_never_written(
    path: Path, database_url: str
) -> None:
    await run_pass(path, database_url)
    store = await open_postgres(database_url, now=NOON, connections=1, seconds=5, providers=PROVIDERS)
    await Scenario(store).report(open_job(path), request_id="req-open")
    await store.close()
    before = rows_of_target(database_url)
    with pytest.raises(CannotOpen, match="going back would lose that"):
        await undo(path, database_url)
    assert not await file_opens(path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM moved_to")  # as in a backup from before the move
    copied = await run_pass(path, database_url)
    assert copied.fault
    assert copied.fault.startswith(f"the two ledgers differ: in events, {open_job(path)} 3 is only at the target; ")
    assert "nothing was changed" in copied.fault
    assert rows_of_target(database_url) == before
    assert await target_opens(database_url)


async def test_a_moved_source_is_not_copied_to_another_target(path: Path, database_url: str, ledger_url: str) -> None:
    await run_pass(path, database_url)
    with pytest.raises(CannotOpen, match="was moved to"):
        await run_pass(path, ledger_url)
    assert rows_of_target(ledger_url)["jobs"] == []
    assert await target_opens(ledger_url)


async def test_a_second_copy_at_the_same_time_is_refused(path: Path, database_url: str) -> None:
    await run_pass(path, database_url, while_running=True)
    with psycopg.connect(database_url) as other:
        other.execute(f"SELECT pg_advisory_xact_lock({0x636F7079})")
        with pytest.raises(Locked, match="another copy"):
            await run_pass(path, database_url)
    assert await file_opens(path)


async def test_a_target_in_another_encoding_is_refused(path: Path, postgres_server: Databases) -> None:
    name = f"test_latin_{NOON}"
    postgres_server.query(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    try:
        with pytest.raises(CannotOpen, match="encoding of the database is LATIN1"):
            await run_pass(path, postgres_server.url(name))
    finally:
        postgres_server.drop_database(name)


async def test_a_source_that_is_missing_or_not_a_ledger_is_refused_and_nothing_created(
    tmp_path: Path, database_url: str
) -> None:
    with pytest.raises(CannotOpen, match="is not there"):
        await run_pass(tmp_path / "none.db", database_url)
    (tmp_path / "text.db").write_bytes(b"not a database!!" * 1000)
    with pytest.raises(CannotOpen, match="not a database of Renderhook"):
        await run_pass(tmp_path / "text.db", database_url, while_running=True)
    with closing(sqlite3.connect(tmp_path / "other.db")) as connection:
        connection.execute("CREATE TABLE jobs (id)")
    with pytest.raises(CannotOpen, match="is not a database of Renderhook"):
        await run_pass(tmp_path / "other.db", database_url, while_running=True)
    assert sorted(os.listdir(tmp_path)) == ["other.db", "text.db"]  # noqa: PTH208 - pathlib is not for async tests
    assert execute(database_url, TABLES_MADE) == []


async def test_the_schema_of_another_release_is_refused_on_either_side(path: Path, database_url: str) -> None:
    await run_pass(path, database_url, while_running=True)
    newer = "INSERT INTO migrations (number, name, phase, checksum, applied_at) VALUES (2, 'newer', 'expand', 'x', 1)"
    execute(database_url, newer)
    with pytest.raises(CannotOpen, match="another release's ledger"):
        await run_pass(path, database_url)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(newer)
    with pytest.raises(CannotOpen, match="another release's schema"):
        await run_pass(path, database_url)


@pytest.mark.parametrize(
    ("one", "other"),
    [("postgres://a/b", "sqlite:///b"), ("sqlite:///a", "sqlite:///a"), ("postgres://a/b", "postgres://a/b"), ("", "")],
)
async def test_any_other_direction_is_refused(one: str, other: str) -> None:
    with pytest.raises(CannotOpen, match="and no other way"):
        await copy(one, other, now=NOON, while_running=False, report=print)


async def test_an_unavailable_target_leaves_the_source_open(path: Path) -> None:
    with pytest.raises(LedgerError):
        await run_pass(path, "postgres://postgres@127.0.0.1:1/none")
    assert await file_opens(path)


# --- interrupted and undone -----------------------------------------------------------------------------------------


async def test_a_copy_interrupted_between_closing_and_opening_is_completed_by_the_next_pass(
    path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Target, tables: object, now: int) -> None:
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(Target, "open_to_receivers", fail)
    with pytest.raises(Unavailable, match="Run it again"):
        await run_pass(path, database_url)
    monkeypatch.undo()
    assert not await file_opens(path)
    assert not await target_opens(database_url)
    assert (await run_pass(path, database_url)).moved
    assert await target_opens(database_url)


async def test_a_copy_interrupted_anywhere_continues_from_there(
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
            copied = await run_pass(path, database_url)
        except Unavailable:
            assert not await target_opens(database_url)
            assert await file_opens(path)
    assert passes > 5
    assert copied.moved
    assert rows_of_target(database_url) == rows_of_source(path)


async def test_a_move_is_undone_if_the_target_was_not_used_and_can_be_repeated(path: Path, database_url: str) -> None:
    await run_pass(path, database_url)
    await undo(path, database_url)
    assert not await target_opens(database_url)
    assert await file_opens(path)
    with pytest.raises(CannotOpen, match="nothing to undo"):
        await undo(path, database_url)
    store = await open_sqlite(path, now=NOON, providers=PROVIDERS)
    await Scenario(store).accept()
    await store.close()
    copied = await run_pass(path, database_url)
    assert copied.moved
    assert [each.written for each in copied.tables if each.table == "jobs"] == [2]  # and one whose claim ended


async def test_a_move_is_not_undone_while_a_receiver_is_connected(path: Path, database_url: str) -> None:
    await run_pass(path, database_url)
    store = await open_postgres(database_url, now=NOON, connections=1, seconds=5, providers=PROVIDERS)
    with pytest.raises(CannotOpen, match="a receiver or worker is connected"):
        await undo(path, database_url)
    await store.close()
    assert await target_opens(database_url)
    assert not await file_opens(path)
