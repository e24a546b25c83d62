"""No statement reads a whole table: SQLite's own plan of each is asked for."""

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
    "end_leases": "work",  # once, at start: what is due or leased, never what is finished
    "enqueue_deliveries": "e",  # as fan_out
    "fan_out": "e",  # through the partial index of the few that hear of every job
    "enqueue_paused_endpoints": "e",  # through the partial index of those that are paused
    "count_paused_deliveries": "e",  # as above
    "count_deliveries_needing_attention": "deliveries e",  # through partial indexes of what needs attention: it counts
}


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=_DictConnection)
    migrate(connection, 1)
    connection.execute("PRAGMA foreign_keys = OFF")  # or plans have the checks too, with scans that never run
    yield connection
    connection.close()


def scanned(connection: sqlite3.Connection, text: str, values: list[None]) -> set[str]:
    """Name the tables, by their aliases, that a statement reads from end to end."""
    plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    made = {match[1] for detail in plan if (match := re.match(r"(?:MATERIALIZE|CO-ROUTINE) (\w+)", detail))}
    scans = {match[1] for detail in plan if (match := re.match(r"SCAN (?!CONSTANT)(\w+)(?! VIRTUAL)\b", detail))}
    return scans - made


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_finds_its_rows_by_an_index(connection: sqlite3.Connection, name: str) -> None:
    statement = STATEMENTS[name]
    allowed = set(MAY_SCAN.get(name, "").split())
    assert scanned(connection, statement.text, [None] * len(statement.names)) == allowed


def test_a_statement_without_an_index_is_noticed(connection: sqlite3.Connection) -> None:
    assert scanned(connection, "SELECT * FROM jobs WHERE warning = ?", [None]) == {"jobs"}


def test_sorting_never_needs_more_than_a_page(connection: sqlite3.Connection) -> None:
    """Where a plan sorts, the rows are few: those of one job, or limited first to one page's or one endpoint's."""
    sorters = {
        name
        for name, statement in STATEMENTS.items()
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", [None] * len(statement.names))
        if "USE TEMP B-TREE FOR ORDER BY" in row["detail"]
    }
    assert sorters <= {name for name in statements() if name.startswith("list_")} | {"read_due_deliveries"}
    assert [name for name in sorters if "LIMIT" not in statements()[name].text] == ["list_deliveries_of_subject"]


def searched(connection: sqlite3.Connection, name: str) -> list[str]:
    """Tell by which index, and by which of its columns, a statement looks for its rows."""
    statement = statements()[name]
    rows = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", [None] * len(statement.names))
    return [row["detail"] for row in rows if row["detail"].startswith("SEARCH")]


@pytest.mark.parametrize("name", ["list_jobs_by_state", "list_jobs_by_provider_and_state"])
def test_both_listings_by_state_go_down_the_one_index(connection: sqlite3.Connection, name: str) -> None:
    """To the end of its columns: a page deep in the list costs what the first one does."""
    searches = [detail for detail in searched(connection, name) if "jobs_by_state" in detail]
    assert len(searches) == (2 if name == "list_jobs_by_state" else 1)
    assert all("COVERING INDEX jobs_by_state (state=? AND provider=? AND id<?)" in detail for detail in searches)


def test_the_deliveries_of_a_job_are_found_by_the_beginning_of_their_ids(connection: sqlite3.Connection) -> None:
    name = "list_deliveries_of_subject"
    [looked] = [detail for detail in searched(connection, name) if re.match(r"SEARCH (d|deliveries) ", detail)]
    assert looked.endswith("USING PRIMARY KEY (id>? AND id<?)")


QUERY = re.compile(
    r"^-- (?:rule: [^\n]*; )?query: ([^\n]*)\n(?:--[^\n]*\n)*CREATE (?:UNIQUE )?INDEX (\w+)", re.MULTILINE
)


def indexes_and_their_statements() -> list[tuple[str, str]]:
    """Read off the schema which statements each index is there for, as the comment above it says."""
    [migration] = migrations("sqlite")
    schema = migration.sql
    return [
        (index, name)
        for told, index in QUERY.findall(schema)
        for name in re.findall(r"\w+", told)
        if name in statements()
    ]


def test_every_index_that_is_no_rule_says_what_it_is_for(connection: sqlite3.Connection) -> None:
    kinds = "SELECT name FROM sqlite_schema WHERE type = 'index' AND sql NOT LIKE 'CREATE UNIQUE%'"
    assert {index for index, _ in indexes_and_their_statements()} >= {row["name"] for row in connection.execute(kinds)}


@pytest.mark.parametrize(("index", "name"), indexes_and_their_statements())
def test_a_statement_uses_the_index_that_is_there_for_it(connection: sqlite3.Connection, index: str, name: str) -> None:
    statement = statements()[name]
    plan = connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", [None] * len(statement.names))
    assert any(re.search(rf"INDEX {index}\b", row["detail"]) for row in plan)


def indexes_written(connection: sqlite3.Connection, name: str) -> set[str]:
    """Name the indexes in which a statement puts entries, read off the program that SQLite makes of it."""
    statement = statements()[name]
    pages = {row["rootpage"]: row["name"] for row in connection.execute("SELECT name, rootpage FROM sqlite_schema")}
    program = connection.execute(f"EXPLAIN {statement.text}", [None] * len(statement.names)).fetchall()
    opened = {row["p1"]: pages[row["p2"]] for row in program if row["opcode"] == "OpenWrite"}
    return {opened[row["p1"]] for row in program if row["opcode"] == "IdxInsert" and row["p1"] in opened}


@pytest.mark.parametrize("name", ["claim_submission", "settle_job", "settle_claimed_job", "cancel_accepted_job"])
def test_a_move_writes_no_index_but_the_one_of_its_state(connection: sqlite3.Connection, name: str) -> None:
    assert indexes_written(connection, name) == {"jobs_by_state"}


def test_a_request_id_that_is_learnt_is_written_in_its_own_index(connection: sqlite3.Connection) -> None:
    assert indexes_written(connection, "set_request_id") == {"jobs_provider_request"}


def builds_a_temporary_index(connection: sqlite3.Connection, table: str) -> bool:
    program = connection.execute(f"EXPLAIN INSERT INTO {table} DEFAULT VALUES").fetchall()
    return any(row["opcode"] == "OpenEphemeral" for row in program)


def test_no_check_builds_a_temporary_index_for_every_row(connection: sqlite3.Connection) -> None:
    tables = [row["name"] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    assert [table for table in tables if builds_a_temporary_index(connection, table)] == []


def test_a_check_that_builds_a_temporary_index_is_noticed() -> None:
    other = sqlite3.connect(":memory:", factory=_DictConnection)
    other.execute("CREATE TABLE long (word TEXT CHECK (word IN ('a', 'b', 'c')))")
    other.execute("CREATE TABLE short (word TEXT CHECK (word IN ('a', 'b')))")
    assert [builds_a_temporary_index(other, table) for table in ("long", "short")] == [True, False]
    other.close()
