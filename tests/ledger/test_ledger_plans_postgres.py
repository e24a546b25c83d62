"""The statements as Postgres takes them: all can be prepared, none reads a whole table, what differs says why."""

import contextlib
import re
from collections.abc import Iterator
from importlib import resources

import psycopg
import pytest

from ledger.storage.statements import Statement, _numbered, statements
from tests.postgres.databases import Databases, fresh_database

STATEMENTS = {name: each for name, each in statements("postgres").items() if each.text}

WHOLE = {"now", "due_at", "failed"}
"""Whole numbers, whose type Postgres is told; of all others it finds it out."""

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
        session.execute("SET plan_cache_mode = force_generic_plan")  # as it is for any value
        yield session


def prepared(connection: psycopg.Connection, asked: Statement) -> int:
    """Prepare it, as the only one; return how many values it takes."""
    types = ["bigint" if name in WHOLE else "unknown" for name in asked.names]
    connection.execute("DEALLOCATE ALL")
    given = f"({', '.join(types)})" if types else ""
    connection.execute(f"PREPARE asked{given} AS {asked.text}".encode())
    [row] = connection.execute("SELECT cardinality(parameter_types) FROM pg_prepared_statements").fetchall()
    return int(row[0])


def scanned(connection: psycopg.Connection, asked: Statement) -> set[str]:
    """Name the tables that a statement reads from end to end."""
    values = ", ".join(["NULL"] * prepared(connection, asked))
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


def test_a_statement_without_an_index_is_noticed(connection: psycopg.Connection) -> None:
    assert scanned(connection, _numbered("SELECT * FROM jobs WHERE warning = :warning", "$")) == {"jobs"}


def test_what_only_one_database_is_asked_is_known() -> None:
    assert {name for name in statements("sqlite") if name not in STATEMENTS} == set(ONLY_SQLITE)
    only_postgres = {name for name in STATEMENTS if not statements("sqlite")[name].text}
    assert only_postgres == {"release_contended_endpoint"}


def own_statements(dialect: str) -> Iterator[tuple[str, str, str]]:
    """The file, its comment on top, and each statement in a database's own folder."""
    for file in resources.files("ledger").joinpath("sql", dialect).iterdir():
        top, *parts = re.split(r"^-- name: ", file.read_text("utf-8"), flags=re.MULTILINE)
        for part in parts:
            yield file.name, top, part


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_what_one_database_says_otherwise_has_a_comment_that_says_why(dialect: str) -> None:
    said = list(own_statements(dialect))
    assert said
    assert [part.split()[0] for _, _, part in said if "\n-- " not in part] == []
    assert [file for file, top, _ in said if "Postgres" not in top] == []


def test_a_callback_does_not_look_for_endpoints_among_all_that_is_pending() -> None:
    """Postgres read every pending delivery at each callback: three quarters of its time with a few thousand of them."""
    assert "deliveries" not in statements("postgres")["enqueue_deliveries"].text
