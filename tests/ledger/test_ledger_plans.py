"""No statement reads a whole table: SQLite's own plan of each is asked for."""

import re
import sqlite3
from collections.abc import Iterator

import pytest

from ledger.migrate import migrate
from ledger.sqlite import _DictConnection
from ledger.statements import statements

MAY_SCAN = {
    "end_leases": "work",  # once, at start: what is due or leased, never what is finished
    "fan_out": "endpoints",  # through the partial index of the few that hear of every job
}


@pytest.fixture(scope="module")
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None, factory=_DictConnection)
    migrate(connection, 1)
    yield connection
    connection.close()


def scanned(connection: sqlite3.Connection, text: str, values: list[None]) -> set[str]:
    """Name the tables that a statement reads from end to end."""
    tables = {row["name"] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    plan = [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {text}", values)]
    return {match[1] for detail in plan if (match := re.match(r"SCAN (\w+)", detail))} & tables


@pytest.mark.parametrize("name", list(statements()))
def test_every_statement_finds_its_rows_by_an_index(connection: sqlite3.Connection, name: str) -> None:
    statement = statements()[name]
    allowed = {MAY_SCAN[name]} if name in MAY_SCAN else set()
    assert scanned(connection, statement.text, [None] * len(statement.names)) == allowed


def test_a_statement_without_an_index_is_noticed(connection: sqlite3.Connection) -> None:
    assert scanned(connection, "SELECT * FROM jobs WHERE warning = ?", [None]) == {"jobs"}


def test_sorting_never_needs_more_than_a_page(connection: sqlite3.Connection) -> None:
    """Where a plan sorts, the rows were limited first: the sort is of one job's, one page's or one endpoint's rows."""
    sorters = {
        name
        for name, statement in statements().items()
        for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", [None] * len(statement.names))
        if "USE TEMP B-TREE FOR ORDER BY" in row["detail"]
    }
    assert sorters <= {name for name in statements() if name.startswith("list_")} | {"read_due_deliveries"}
    assert all("LIMIT" in statements()[name].text for name in sorters)
