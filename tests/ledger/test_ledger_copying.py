"""A ledger moves from SQLite to Postgres: whole, compared, as often as wanted, and never open on both sides at once."""

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
from tests.ledger.conftest import Story
from tests.ledger.moved import (
    LATER,
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
    tables_of_a_ledger,
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
SPOIL = (
    "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS "
    "$$ BEGIN NEW.url = 'https://spoilt/'; RETURN NEW; END $$",
    "CREATE TRIGGER spoil BEFORE INSERT OR UPDATE ON endpoints FOR EACH ROW EXECUTE FUNCTION spoil()",
    "UPDATE endpoints SET source = source",
)


# --- what moves -----------------------------------------------------------------------------------------------------


def test_every_table_and_column_is_copied_but_what_the_target_makes_itself(ledger_url: str) -> None:
    described = {table.name: dict(table.columns) for table in TABLES}
    theirs = dict[str, dict[str, str]]()
    for table, column, kind in ask(ledger_url, COLUMNS):
        theirs.setdefault(table, {})[column] = kind
    assert {name: table for name, table in theirs.items() if name not in NOT_COPIED} == described


async def test_a_table_that_a_later_migration_adds_is_copied_too(path: Path, database_url: str) -> None:
    later = "CREATE TABLE later (job_id TEXT NOT NULL PRIMARY KEY REFERENCES jobs (id), number {number} NOT NULL)"
    assert not (await pass_over(path, database_url, while_running=True)).fault
    ask(database_url, later.format(number="BIGINT"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(later.format(number="INTEGER"))
        connection.execute("INSERT INTO later SELECT id, 7 FROM jobs")
    copied = await pass_over(path, database_url)
    assert copied.moved
    assert next(each.written for each in copied.sums if each.table == "later") == len(rows_of_source(path)["jobs"])


async def test_a_target_whose_tables_are_not_the_sources_is_refused(path: Path, ledger_url: str) -> None:
    ask(ledger_url, "ALTER TABLE outputs ADD COLUMN colour TEXT")
    with pytest.raises(CannotOpen, match="other tables than the source"):
        await pass_over(path, ledger_url)


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_the_key_of_a_table_is_one_that_both_databases_hold_unique(table: Table, path: Path, ledger_url: str) -> None:
    with closing(sqlite3.connect(path)) as connection:
        indexes = connection.execute(f"PRAGMA index_list({table.name})").fetchall()
        ours = [
            [row[2] for row in connection.execute(f"PRAGMA index_info({index[1]})")]
            for index in indexes
            if index[2] and not index[4]
        ]
    assert list(table.key) in ours
    assert (list(table.key),) in ask(ledger_url, UNIQUE.format(table=table.name))


def test_tables_come_after_those_that_they_refer_to(ledger_url: str) -> None:
    names = [table.name for table in TABLES]
    for referring, referred in ask(
        ledger_url, "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint WHERE contype = 'f'"
    ):
        if {referring, referred} <= set(names):
            assert names.index(referred) < names.index(referring)


VALUES = st.one_of(st.none(), st.text(max_size=5), st.integers(-(2**63), 2**63 - 1), st.binary(max_size=5))


@given(st.tuples(VALUES, VALUES), st.tuples(VALUES, VALUES))
def test_rows_of_one_table_are_written_alike_only_when_they_are_alike(one: Values, other: Values) -> None:
    if all(None in {a, b} or type(a) is type(b) for a, b in zip(one, other, strict=True)):
        assert (canonical(one) == canonical(other)) == (one == other)


async def test_a_copy_has_every_row_of_every_table_as_it_was(path: Path, database_url: str) -> None:
    copied = await pass_over(path, database_url)
    before = rows_of_source(path)
    assert all(before[table.name] for table in TABLES)
    assert rows_of_target(database_url) == before
    assert copied.fault is None
    assert copied.moved
    assert [each.written for each in copied.sums] == [len(rows) for rows in before.values()]
    assert all(each.source == each.target for each in copied.sums)
    assert any("\ufffd after NUL" in str(job) for job in before["jobs"])


async def test_an_empty_ledger_moves_too(tmp_path: Path, database_url: str) -> None:
    await (await open_sqlite(tmp_path / "empty.db", now=NOON)).close()
    copied = await pass_over(tmp_path / "empty.db", database_url)
    assert copied.moved
    assert [each.target.number for each in copied.sums] == [0] * len(TABLES)


async def test_a_chunk_ends_with_its_bytes_too(path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "CHUNK_ROWS", 1000)
    monkeypatch.setattr(sources, "CHUNK_BYTES", 100)
    assert (await pass_over(path, database_url)).moved
    assert rows_of_target(database_url) == rows_of_source(path)


@needs_pgbouncer
async def test_it_moves_through_a_pooler_too(path: Path) -> None:
    with serving(fsync=False) as server, pooling(server, default_pool_size=5) as bouncer:
        target = bouncer.url(urlsplit(server.create_database("target")).path.removeprefix("/"))
        assert not (await pass_over(path, target, while_running=True)).fault
        assert (await pass_over(path, target)).moved
        assert rows_of_target(target) == rows_of_source(path)


# --- again and again ------------------------------------------------------------------------------------------------


async def test_a_pass_beside_a_receiver_copies_what_was_there_and_the_next_brings_what_changed(
    path: Path, database_url: str
) -> None:
    store = await open_sqlite(path, now=NOON, providers=PROVIDERS)
    first = await pass_over(path, database_url, while_running=True)
    assert first.fault is None
    assert not first.moved
    assert not await opens(database_url)
    story = Story(store)
    await story.submit("req-new")
    await story.report(open_job(path), request_id="req-open")
    second = await pass_over(path, database_url, while_running=True)
    await store.close()
    assert {each.table: each.written for each in second.sums if each.written} == {
        "jobs": 2,
        "inputs": 1,
        "outputs": 1,
        "receipts": 1,
        "events": 3,
        "deliveries": 2,
    }
    assert rows_of_target(database_url) == rows_of_source(path)
    assert {each.written for each in (await pass_over(path, database_url, while_running=True)).sums} == {0}
    assert await opens_file(path)


async def test_the_last_pass_is_refused_while_a_receiver_has_the_file(path: Path, database_url: str) -> None:
    store = await open_sqlite(path, now=NOON, providers=PROVIDERS)
    with pytest.raises(Locked, match="--while-running"):
        await pass_over(path, database_url)
    await store.close()
    assert ask(database_url, TABLES_MADE) == []


async def test_the_last_pass_shuts_the_file_and_opens_the_target(path: Path, database_url: str) -> None:
    assert (await pass_over(path, database_url)).moved
    assert not await opens_file(path)
    assert await opens(database_url)
    again = await pass_over(path, database_url)
    assert again.moved
    assert again.sums == ()


async def test_what_is_open_has_its_task_and_no_claim_outlives_the_receiver(path: Path, database_url: str) -> None:
    await pass_over(path, database_url)
    claims = ask(database_url, "SELECT claimed_until FROM jobs WHERE state = 'submitting'")
    assert claims == [(LATER,)]
    assert ask(database_url, TASKS) == [("deliver", 2), ("poll", 1), ("submit", 2)]


async def test_a_row_that_is_only_in_the_target_is_a_fault_that_names_it(path: Path, database_url: str) -> None:
    await pass_over(path, database_url, while_running=True)
    ask(
        database_url,
        "INSERT INTO endpoints (id, url, source, created_at) VALUES ('ep_zzz', 'https://x.example/', 'job', 1)",
    )
    copied = await pass_over(path, database_url)
    assert copied.fault
    assert "in endpoints, ep_zzz is only at the target; " in copied.fault
    assert not copied.moved
    assert await opens_file(path)
    assert not await opens(database_url)


async def test_a_row_that_the_target_spoils_is_a_fault_and_nothing_opens(path: Path, database_url: str) -> None:
    await pass_over(path, database_url, while_running=True)
    for statement in SPOIL:
        ask(database_url, statement)
    copied = await pass_over(path, database_url)
    assert copied.fault
    assert copied.fault.startswith("the two ledgers differ: in endpoints, ep_")
    assert " differs; " in copied.fault
    assert await opens_file(path)
    assert not await opens(database_url)


async def test_a_value_that_was_changed_behind_our_back_is_put_right(path: Path, database_url: str) -> None:
    await pass_over(path, database_url, while_running=True)
    ask(database_url, "UPDATE jobs SET model = 'another/one'")
    ask(database_url, "DELETE FROM attempts")
    assert (await pass_over(path, database_url)).moved
    assert rows_of_target(database_url) == rows_of_source(path)
