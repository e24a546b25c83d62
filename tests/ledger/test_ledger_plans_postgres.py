"""Postgres: every statement can be prepared, none scans a whole table, and each difference has its reason."""

import contextlib
import re
from collections.abc import Iterator
from importlib import resources

import psycopg
import pytest

from ledger.storage.statements import Statement, _numbered, statements
from tests.postgres.databases import Databases, fresh_database

STATEMENTS = {name: each for name, each in statements("postgres").items() if each.text}

INTEGERS = {"now", "due_at", "failed"}
"""Values that are declared as integers. Postgres infers the types of the others."""

ONLY_SQLITE = {
    "end_leases": "another process may hold one",
    "end_claims": "another process may hold one",
}


@pytest.fixture(scope="module")
def connection(postgres_server: Databases, migrated: str) -> Iterator[psycopg.Connection]:
    with contextlib.ExitStack() as undo:
        url = undo.enter_context(fresh_database(postgres_server, template=migrated))
        session = undo.enter_context(psycopg.connect(url, autocommit=True, prepare_threshold=None))
        session.execute("SET enable_seqscan = off")
        session.execute("SET plan_cache_mode = force_generic_plan")  # the plan for any value
        yield session


def prepared(connection: psycopg.Connection, statement: Statement) -> int:
    """Prepare a statement, and return how many parameters it has."""
    types = ["bigint" if name in INTEGERS else "unknown" for name in statement.names]
    connection.execute("DEALLOCATE ALL")
    given = f"({', '.join(types)})" if types else ""
    connection.execute(f"PREPARE asked{given} AS {statement.text}".encode())
    [row] = connection.execute("SELECT cardinality(parameter_types) FROM pg_prepared_statements").fetchall()
    return int(row[0])


def scanned(connection: psycopg.Connection, statement: Statement) -> set[str]:
    """Return the tables that a statement scans."""
    values = ", ".join(["NULL"] * prepared(connection, statement))
    given = f"({values})" if values else ""
    plan = connection.execute(f"EXPLAIN EXECUTE asked{given}".encode()).fetchall()
    return {match[1] for (line,) in plan if (match := re.search(r"Seq Scan on (\w+)", str(line)))}


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_can_be_prepared(connection: psycopg.Connection, name: str) -> None:
    assert prepared(connection, STATEMENTS[name]) == len(STATEMENTS[name].names)


@pytest.mark.parametrize("name", STATEMENTS)
def test_every_statement_finds_its_rows_by_an_index(connection: psycopg.Connection, name: str) -> None:
    allowed = {"endpoints"} if name == "pause_unsigned_endpoints" else set()  # once, at start, without NOTIFY_SECRET
    assert scanned(connection, STATEMENTS[name]) == allowed


def test_a_scan_is_found_in_a_plan(connection: psycopg.Connection) -> None:
    assert scanned(connection, _numbered("SELECT * FROM jobs WHERE warning = :warning", "$")) == {"jobs"}


def test_statements_of_one_database_only_are_listed() -> None:
    assert {name for name in statements("sqlite") if name not in STATEMENTS} == set(ONLY_SQLITE)
    only_postgres = {name for name in STATEMENTS if not statements("sqlite")[name].text}
    assert only_postgres == {"release_contended_endpoint"}


def own_statements(dialect: str) -> Iterator[tuple[str, str, str]]:
    """Yield file name, top comment and text of each statement in the folder of a database."""
    for file in resources.files("ledger").joinpath("sql", dialect).iterdir():
        top, *parts = re.split(r"^-- name: ", file.read_text("utf-8"), flags=re.MULTILINE)
        for part in parts:
            yield file.name, top, part


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_each_statement_of_one_database_has_a_comment_with_the_reason(dialect: str) -> None:
    found = list(own_statements(dialect))
    assert found
    assert [part.split()[0] for _, _, part in found if "\n-- " not in part] == []
    assert [file for file, top, _ in found if "Postgres" not in top] == []


def test_a_callback_does_not_read_pending_deliveries() -> None:
    """Postgres would read all of them at each callback: three quarters of its time with a few thousand."""
    assert "deliveries" not in statements("postgres")["enqueue_deliveries"].text
