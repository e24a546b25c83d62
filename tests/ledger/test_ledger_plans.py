"""SQLite's query plans: no statement scans a whole table."""

import re
import sqlite3
from collections.abc import Iterator

import pytest

from ledger.sqlite.migrate import migrate
from ledger.sqlite.store import _DictConnection
from ledger.storage.migrations import migrations
from ledger.storage.statements import statements

STATEMENTS = {name: each for name, each in statements().items() if each.text}

MAY_SCAN = {
    "pause_unsigned_endpoints": "endpoints",  # once, at start, without NOTIFY_SECRET
    "resume_unsigned_endpoints": "endpoints",  # through the partial index of those that are paused
    "end_leases": "work",  # once, at start: the table has no finished tasks
    "enqueue_deliveries": "e",  # see fan_out
    "fan_out": "e",  # through the partial index of the endpoints for all jobs, which are few
    "enqueue_paused_endpoints": "e",  # through the partial index of those that are paused
    "count_paused_deliveries": "e",  # through the same index
    "count_deliveries_needing_attention": "deliveries e",  # counts, through partial indexes
}


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=_DictConnection)
    migrate(connection, 1)
    connection.execute("PRAGMA foreign_keys = OFF")  # or plans contain foreign key checks, with scans that never run
    yield connection
    connection.close()


def scanned(connection: sqlite3.Connection, text: str, values: list[None]) -> set[str]:
    """Return the tables that a statement scans, by their aliases."""
    plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    made = {match[1] for detail in plan if (match := re.match(r"(?:MATERIALIZE|CO-ROUTINE) (\w+)", detail))}
    scans = {match[1] for detail in plan if (match := re.match(r"SCAN (?!CONSTANT)(\w+)(?! VIRTUAL)\b", detail))}
    return scans - made


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_finds_its_rows_by_an_index(connection: sqlite3.Connection, name: str) -> None:
    statement = STATEMENTS[name]
    allowed = set(MAY_SCAN.get(name, "").split())
    assert scanned(connection, statement.text, [None] * len(statement.names)) == allowed


def test_a_scan_is_found_in_a_plan(connection: sqlite3.Connection) -> None:
    assert scanned(connection, "SELECT * FROM jobs WHERE warning = ?", [None]) == {"jobs"}


def test_only_a_page_of_rows_is_sorted(connection: sqlite3.Connection) -> None:
    """A plan sorts only the rows of one job, of one page or of one endpoint."""
    sorters = {
        name
        for name, statement in STATEMENTS.items()
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", [None] * len(statement.names))
        if "USE TEMP B-TREE FOR ORDER BY" in row["detail"]
    }
    assert sorters <= {name for name in statements() if name.startswith("list_")} | {"read_due_deliveries"}
    assert [name for name in sorters if "LIMIT" not in statements()[name].text] == ["list_deliveries_of_subject"]


def searched(connection: sqlite3.Connection, name: str) -> list[str]:
    """Return the searches in the plan of a statement: index and columns."""
    statement = statements()[name]
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", [None] * len(statement.names))
    return [row["detail"] for row in rows if row["detail"].startswith("SEARCH")]


@pytest.mark.parametrize("name", ["list_jobs_by_state", "list_jobs_by_provider_and_state"])
def test_both_listings_by_state_use_all_columns_of_one_index(connection: sqlite3.Connection, name: str) -> None:
    """So any page costs as much as the first one."""
    searches = [detail for detail in searched(connection, name) if "jobs_by_state" in detail]
    assert len(searches) == (2 if name == "list_jobs_by_state" else 1)
    assert all("COVERING INDEX jobs_by_state (state=? AND provider=? AND id<?)" in detail for detail in searches)


def test_the_deliveries_of_a_job_are_found_by_the_prefix_of_their_ids(connection: sqlite3.Connection) -> None:
    name = "list_deliveries_of_subject"
    [search] = [detail for detail in searched(connection, name) if re.match(r"SEARCH (d|deliveries) ", detail)]
    assert search.endswith("USING PRIMARY KEY (id>? AND id<?)")


QUERY = re.compile(
    r"^-- (?:rule: [^\n]*; )?query: ([^\n]*)\n(?:--[^\n]*\n)*CREATE (?:UNIQUE )?INDEX (\w+)", re.MULTILINE
)


def indexes_and_their_statements() -> list[tuple[str, str]]:
    """Return the statements that each index is for, from the comments in the schema."""
    [migration] = migrations("sqlite")
    schema = migration.sql
    return [
        (index, name)
        for names, index in QUERY.findall(schema)
        for name in re.findall(r"\w+", names)
        if name in statements()
    ]


def test_every_index_that_is_not_unique_names_its_statements(connection: sqlite3.Connection) -> None:
    kinds = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql NOT LIKE 'CREATE UNIQUE%'"
    assert {index for index, _ in indexes_and_their_statements()} >= {row["name"] for row in connection.execute(kinds)}


@pytest.mark.parametrize(("index", "name"), indexes_and_their_statements())
def test_a_statement_uses_its_index(connection: sqlite3.Connection, index: str, name: str) -> None:
    statement = statements()[name]
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", [None] * len(statement.names))
    assert any(re.search(rf"INDEX {index}\b", row["detail"]) for row in plan)


def indexes_written(connection: sqlite3.Connection, name: str) -> set[str]:
    """Return the indexes to which a statement adds entries, from SQLite's bytecode."""
    statement = statements()[name]
    pages = {row["rootpage"]: row["name"] for row in connection.execute("SELECT name, rootpage FROM sqlite_schema")}
    program = connection.execute(f"EXPLAIN {statement.text}", [None] * len(statement.names)).fetchall()
    opened = {row["p1"]: pages[row["p2"]] for row in program if row["opcode"] == "OpenWrite"}
    return {opened[row["p1"]] for row in program if row["opcode"] == "IdxInsert" and row["p1"] in opened}


@pytest.mark.parametrize("name", ["claim_submission", "settle_job", "settle_claimed_job", "cancel_accepted_job"])
def test_a_transition_writes_only_the_index_by_state(connection: sqlite3.Connection, name: str) -> None:
    assert indexes_written(connection, name) == {"jobs_by_state"}


def test_setting_a_request_id_writes_only_its_own_index(connection: sqlite3.Connection) -> None:
    assert indexes_written(connection, "set_request_id") == {"jobs_provider_request"}


def builds_a_temporary_index(connection: sqlite3.Connection, table: str) -> bool:
    program = connection.execute(f"EXPLAIN INSERT INTO {table} DEFAULT VALUES").fetchall()
    return any(row["opcode"] == "OpenEphemeral" for row in program)


def test_no_check_builds_a_temporary_index_for_every_row(connection: sqlite3.Connection) -> None:
    tables = [row["name"] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    assert [table for table in tables if builds_a_temporary_index(connection, table)] == []


def test_a_temporary_index_of_a_check_is_found() -> None:
    other = sqlite3.connect(":memory:", factory=_DictConnection)
    other.execute("CREATE TABLE long (word TEXT CHECK (word IN ('a', 'b', 'c')))")
    other.execute("CREATE TABLE short (word TEXT CHECK (word IN ('a', 'b')))")
    assert [builds_a_temporary_index(other, table) for table in ("long", "short")] == [True, False]
    other.close()
