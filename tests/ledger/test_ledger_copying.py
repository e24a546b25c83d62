"""Copying a database from SQLite to Postgres, in any number of passes, and switching to it in the last."""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.copying import source as sources
from ledger.copying.source import NOT_COPIED, Table, Values, canonical
from ledger.errors import CannotOpen, Locked
from ledger.sqlite.store import open_sqlite
from tests.conftest import NOON, PROVIDERS
from tests.ledger.conftest import Scenario
from tests.ledger.copies import (
    LATER,
    TABLES_MADE,
    execute,
    file_opens,
    open_job,
    path,
    rows_of_source,
    rows_of_target,
    run_pass,
    small_chunks,
    tables_of_a_ledger,
    target_opens,
)
from tests.postgres.pgbouncer import needs_pgbouncer, pooling
from tests.postgres.servers import serving

__all__ = ["path", "small_chunks"]

TABLES = tables_of_a_ledger()
COLUMNS = """
SELECT c.table_name, column_name, data_type
FROM information_schema.columns AS c JOIN information_schema.tables AS t USING (table_schema, table_name)
WHERE table_schema = 'public' AND table_type = 'BASE TABLE'
"""
UNIQUE = """
SELECT ARRAY(SELECT attname::text FROM unnest(indkey) WITH ORDINALITY AS k (number, place)
             JOIN pg_attribute ON attrelid = indrelid AND attnum = number ORDER BY place)
FROM pg_index WHERE indrelid = '{table}'::regclass AND indisunique AND indpred IS NULL
"""
TASKS = "SELECT kind, count(*) FROM work GROUP BY 1 ORDER BY 1"
CORRUPT = (
    "CREATE FUNCTION corrupt() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN NEW.url = 'https://corrupted/'; RETURN NEW; END $$",
    "CREATE TRIGGER corrupt BEFORE INSERT OR UPDATE ON endpoints FOR EACH ROW EXECUTE FUNCTION corrupt()",
    "UPDATE endpoints SET source = source",
)


# --- what is copied -------------------------------------------------------------------------------------------------


def test_every_table_and_column_is_copied_except_those_that_the_target_creates(ledger_url: str) -> None:
    described = {table.name: dict(table.columns) for table in TABLES}
    theirs = dict[str, dict[str, str]]()
    for table, column, kind in execute(ledger_url, COLUMNS):
        theirs.setdefault(table, {})[column] = kind
    assert {name: table for name, table in theirs.items() if name not in NOT_COPIED} == described


async def test_a_table_of_a_later_migration_is_copied(path: Path, database_url: str) -> None:
    later = "CREATE TABLE later (job_id TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id), number {number} NOT NULL)"
    assert not (await run_pass(path, database_url, while_running=True)).fault
    execute(database_url, later.format(number="BIGINT"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(later.format(number="INTEGER"))
        connection.execute("INSERT INTO later SELECT id, 7 FROM jobs")
    copied = await run_pass(path, database_url)
    assert copied.moved
    assert next(each.written for each in copied.tables if each.table == "later") == len(rows_of_source(path)["jobs"])


async def test_a_target_with_other_tables_is_refused(path: Path, ledger_url: str) -> None:
    execute(ledger_url, "ALTER TABLE outputs ADD COLUMN colour TEXT")
    with pytest.raises(CannotOpen, match="other tables than the source"):
        await run_pass(path, ledger_url)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_key_of_a_table_is_unique_on_both_databases(table: Table, path: Path, ledger_url: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        indexes = connection.execute(f"PRAGMA index_list({table.name})").fetchall()
        ours = [
            [row[2] for row in connection.execute(f"PRAGMA index_info({index[1]})")]
            for index in indexes
            if index[2] and not index[4]
        ]
    assert list(table.key) in ours
    assert (list(table.key),) in execute(ledger_url, UNIQUE.format(table=table.name))


def test_tables_come_after_those_that_they_refer_to(ledger_url: str) -> None:
    names = [table.name for table in TABLES]
    for referring, referred in execute(
        ledger_url, "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
    ):
        if {referring, referred} <= set(names):
            assert names.index(referred) < names.index(referring)


VALUES = st.one_of(st.none(), st.text(max_size=5), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=5))


@given(st.tuples(VALUES, VALUES), st.tuples(VALUES, VALUES))
def test_different_rows_have_different_canonical_forms(one: Values, other: Values) -> None:
    if all(None in {a, b} or type(a) is type(b) for a, b in zip(one, other, strict=True)):
        assert (canonical(one) == canonical(other)) == (one == other)


async def test_every_row_of_every_table_is_copied_unchanged(path: Path, database_url: str) -> None:
    copied = await run_pass(path, database_url)
    before = rows_of_source(path)
    assert all(before[table.name] for table in TABLES)
    assert rows_of_target(database_url) == before
    assert copied.fault is None
    assert copied.moved
    assert [each.written for each in copied.tables] == [len(rows) for rows in before.values()]
    assert all(each.source == each.target for each in copied.tables)
    assert any("\ufffd after NUL" in str(job) for job in before["jobs"])


async def test_an_empty_database_is_copied(tmp_path: Path, database_url: str) -> None:
    await (await open_sqlite(tmp_path / "empty.db", now=NOON)).close()
    copied = await run_pass(tmp_path / "empty.db", database_url)
    assert copied.moved
    assert [each.target.rows for each in copied.tables] == [0] * len(TABLES)


async def test_chunks_are_limited_in_bytes(path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK_ROWS", 1000)
    monkeypatch.setattr(sources, "CHUNK_BYTES", 100)
    assert (await run_pass(path, database_url)).moved
    assert rows_of_target(database_url) == rows_of_source(path)


@needs_pgbouncer
async def test_a_database_is_copied_through_a_pooler(path: Path) -> None:
    with serving(fsync=False) as server, pooling(server, default_pool_size=5) as bouncer:
        target = bouncer.url(urlsplit(server.create_database("target")).path.removeprefix("/"))
        assert not (await run_pass(path, target, while_running=True)).fault
        assert (await run_pass(path, target)).moved
        assert rows_of_target(target) == rows_of_source(path)


# --- several passes -------------------------------------------------------------------------------------------------


async def test_a_pass_while_a_receiver_runs_copies_and_the_next_writes_only_what_changed(
    path: Path, database_url: str
) -> None:
    store = await open_sqlite(path, now=NOON, providers=PROVIDERS)
    first = await run_pass(path, database_url, while_running=True)
    assert first.fault is None
    assert not first.moved
    assert not await target_opens(database_url)
    scenario = Scenario(store)
    await scenario.submit("req-new")
    await scenario.report(open_job(path), request_id="req-open")
    second = await run_pass(path, database_url, while_running=True)
    await store.close()
    assert {each.table: each.written for each in second.tables if each.written} == {
        "jobs": 2,
        "inputs": 1,
        "outputs": 1,
        "receipts": 1,
        "events": 3,
        "deliveries": 2,
    }
    assert rows_of_target(database_url) == rows_of_source(path)
    assert {each.written for each in (await run_pass(path, database_url, while_running=True)).tables} == {0}
    assert await file_opens(path)


async def test_the_last_pass_is_refused_while_a_receiver_has_the_file_open(path: Path, database_url: str) -> None:
    store = await open_sqlite(path, now=NOON, providers=PROVIDERS)
    with pytest.raises(Locked, match="--while-running"):
        await run_pass(path, database_url)
    await store.close()
    assert execute(database_url, TABLES_MADE) == []


async def test_the_last_pass_closes_the_source_and_opens_the_target(path: Path, database_url: str) -> None:
    assert (await run_pass(path, database_url)).moved
    assert not await file_opens(path)
    assert await target_opens(database_url)
    again = await run_pass(path, database_url)
    assert again.moved
    assert again.tables == ()


async def test_after_the_last_pass_open_jobs_have_tasks_and_claims_have_ended(path: Path, database_url: str) -> None:
    await run_pass(path, database_url)
    claims = execute(database_url, "SELECT claimed_until FROM jobs WHERE state = 'submitting'")
    assert claims == [(LATER,)]
    assert execute(database_url, TASKS) == [("deliver", 2), ("poll", 1), ("submit", 2)]


async def test_a_row_that_is_only_in_the_target_is_named_and_the_target_is_not_opened(
    path: Path, database_url: str
) -> None:
    await run_pass(path, database_url, while_running=True)
    execute(
        database_url,
        "INSERT INTO endpoints (id, url, source, created_at) VALUES ('ep_zzz', 'https://x.example/', 'job', 1)",
    )
    copied = await run_pass(path, database_url)
    assert copied.fault
    assert "in endpoints, ep_zzz is only at the target; " in copied.fault
    assert not copied.moved
    assert await file_opens(path)
    assert not await target_opens(database_url)


async def test_a_row_that_the_target_changes_is_named_and_the_target_is_not_opened(
    path: Path, database_url: str
) -> None:
    await run_pass(path, database_url, while_running=True)
    for statement in CORRUPT:
        execute(database_url, statement)
    copied = await run_pass(path, database_url)
    assert copied.fault
    assert copied.fault.startswith("the two ledgers differ: in endpoints, ep_")
    assert " differs; " in copied.fault
    assert await file_opens(path)
    assert not await target_opens(database_url)


async def test_values_that_were_changed_in_the_target_are_corrected_by_the_next_pass(
    path: Path, database_url: str
) -> None:
    await run_pass(path, database_url, while_running=True)
    execute(database_url, "UPDATE jobs SET model = 'another/one'")
    execute(database_url, "DELETE FROM attempts")
    assert (await run_pass(path, database_url)).moved
    assert rows_of_target(database_url) == rows_of_source(path)
