"""The tables refuse rows that contradict themselves, whoever writes them."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import psycopg
import pytest
from psycopg import sql

from ledger.records import JobState
from ledger.sqlite.migrate import migrate
from ledger.sqlite.store import _DictConnection

GOOD = {
    "id": "job_00000",
    "provider": "fal",
    "model": "a/b",
    "state": "accepted",
    "request_digest": "d",
    "created_at": 1,
    "last_transition": "m",
}
ENDED = {"finalized_at": 2, "fingerprint": "f"}
ERROR = {"error_fault": "renderhook", "error_code": "c", "error_message": "m", "error_retryable": 0}
DELIVERY = {
    "id": "msg_00000_1_settings",
    "job_id": "job_00000",
    "sequence": 1,
    "endpoint_id": "ep_settings",
    "state": "pending",
    "created_at": 1,
    "due_at": 1,
}


class Refused(Exception):
    """The database took no such row; its own words."""


class Tables(Protocol):
    """The ledger's tables, without its transactions."""

    def insert(self, table: str, row: dict[str, object]) -> None: ...
    def checked(self, table: str, column: str) -> str:
        """The condition that the schema sets a column."""


class OnSQLite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        connection.execute("PRAGMA foreign_keys = ON")
        migrate(connection, 1)

    def insert(self, table: str, row: dict[str, object]) -> None:
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        try:
            self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row)
        except sqlite3.IntegrityError as error:
            raise Refused(str(error)) from error

    def checked(self, table: str, column: str) -> str:
        [row] = self._connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", [table]).fetchall()
        [check] = re.findall(rf"^ +{column} +TEXT .*?CHECK \((.*?)\)+,$", row["sql"], re.MULTILINE | re.DOTALL)
        return str(check)


class OnPostgres:
    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def insert(self, table: str, row: dict[str, object]) -> None:
        names = sql.SQL(", ").join(map(sql.Identifier, row))
        marks = sql.SQL(", ").join(map(sql.Placeholder, row))
        query = sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(sql.Identifier(table), names, marks)
        try:
            self._connection.execute(query, row)
        except (psycopg.IntegrityError, psycopg.DataError) as error:
            raise Refused(str(error)) from error

    def checked(self, table: str, column: str) -> str:
        """Of the column alone: what it may not be beside another one is a condition too."""
        query = (
            "SELECT pg_get_constraintdef(c.oid) "
            "FROM pg_constraint AS c JOIN pg_attribute AS a ON a.attrelid = c.conrelid "
            "WHERE c.conrelid = %s::regclass AND c.contype = 'c' AND a.attname = %s AND c.conkey = ARRAY[a.attnum]"
        )
        [row] = self._connection.execute(query, (table, column)).fetchall()
        return str(row[0])


@pytest.fixture(params=["sqlite", "postgres"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Tables]:
    if request.param == "sqlite":
        connection = sqlite3.connect(tmp_path / "schema.db", isolation_level=None, factory=_DictConnection)
        with contextlib.closing(connection):
            yield OnSQLite(connection)
    else:
        with psycopg.connect(request.getfixturevalue("ledger_url"), autocommit=True) as session:
            yield OnPostgres(session)


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        GOOD | {"state": "submitting", "claimed_until": 3},
        GOOD | {"state": "unconfirmed", "unconfirmed_at": 3},
        GOOD | {"state": "submitted", "provider_request_id": "r", "submitted_at": 2},
        GOOD | {"state": "completed"} | ENDED,
        GOOD | {"state": "failed"} | ENDED | ERROR,
        GOOD | {"state": "canceled"} | ENDED,
        GOOD | {"state": "expired"} | ENDED | ERROR,
    ],
)
def test_an_honest_row_is_taken(tables: Tables, row: dict[str, object]) -> None:
    tables.insert("jobs", row)


@pytest.mark.parametrize(
    ("row", "lie"),
    [
        (GOOD | {"state": "completed"}, "ended without an end"),
        (GOOD | {"finalized_at": 2}, "an end without having ended"),
        (GOOD | {"state": "completed", "finalized_at": 2}, "an ending without a fingerprint"),
        (GOOD | {"state": "submitting"}, "claimed without a claim"),
        (GOOD | {"claimed_until": 3}, "a claim without being claimed"),
        (GOOD | {"state": "submitted"}, "submitted without a request"),
        (GOOD | {"state": "unconfirmed"}, "unconfirmed since never"),
        (GOOD | {"state": "failed"} | ENDED, "failed without an error"),
        (GOOD | {"state": "completed"} | ENDED | ERROR, "completed with an error"),
        (GOOD | {"state": "failed"} | ENDED | ERROR | {"error_code": None}, "half an error"),
        (GOOD | {"source": "poll"}, "a source without an end"),
        (GOOD | {"state": "done"}, "an unknown word"),
        (GOOD | {"provider": ""}, "a provider without a name"),
        (GOOD | {"submissions": -1}, "less than no submissions"),
        (GOOD | {"created_at": "yesterday"}, "a time that is text"),
    ],
)
def test_a_lie_is_refused(tables: Tables, row: dict[str, object], lie: str) -> None:
    with pytest.raises(Refused):
        tables.insert("jobs", row)


def test_a_request_belongs_to_one_job_and_a_key_to_one_request(tables: Tables) -> None:
    tables.insert("jobs", GOOD | {"provider_request_id": "r", "idempotency_key": "k"})
    for twin in ({"provider_request_id": "r"}, {"idempotency_key": "k"}):
        with pytest.raises(Refused):
            tables.insert("jobs", GOOD | {"id": "job_00001"} | twin)


def test_nothing_hangs_on_a_job_that_is_not_there(tables: Tables) -> None:
    for table, row in (
        ("inputs", {"job_id": "job_none0", "input": "{}", "metadata": "{}"}),
        ("outputs", {"job_id": "job_none0", "position": 1, "url": "u"}),
        ("events", {"job_id": "job_none0", "sequence": 1, "type": "job.accepted", "at": 1}),
        ("subscriptions", {"job_id": "job_none0", "endpoint_id": "ep_none"}),
        ("attempts", {"delivery_id": "msg_none", "number": 1, "at": 1, "latency_ms": 1}),
    ):
        with pytest.raises(Refused):
            tables.insert(table, row)


def test_a_job_has_one_input(tables: Tables) -> None:
    given = {"job_id": GOOD["id"], "input": "{}", "metadata": "{}"}
    tables.insert("jobs", GOOD)
    tables.insert("inputs", given)
    with pytest.raises(Refused, match=r"(?i)unique"):
        tables.insert("inputs", given)


def test_a_report_is_kept_once(tables: Tables) -> None:
    report = {"id": "rcpt_1", "job_id": "job_00000", "provider": "fal", "source": "callback", "result": "orphan"}
    report |= {"headers": "{}", "body": b"", "received_at": 1}
    tables.insert("receipts", report)
    with pytest.raises(Refused, match=r"(?i)unique"):
        tables.insert("receipts", report)


@pytest.fixture
def with_something_to_tell(tables: Tables) -> Tables:
    """A job, its first two events, and two endpoints."""
    tables.insert("jobs", GOOD)
    for sequence in (1, 2):
        tables.insert("events", {"job_id": GOOD["id"], "sequence": sequence, "type": "job.accepted", "at": 1})
    for name in ("settings", "other"):
        tables.insert("endpoints", {"id": f"ep_{name}", "url": "u", "scope": "job", "created_at": 1})
    return tables


def test_an_endpoint_is_told_of_an_event_once(with_something_to_tell: Tables) -> None:
    with_something_to_tell.insert("deliveries", DELIVERY)
    with pytest.raises(Refused, match=r"(?i)unique"):
        with_something_to_tell.insert("deliveries", DELIVERY)


@pytest.mark.parametrize(
    "id_of_something_else",
    ["msg_00000_2_settings", "msg_00000_1_other", "msg_00001_1_settings", "msg_00000_1_settings2", "settings", ""],
)
def test_a_delivery_has_the_id_of_what_it_is_and_so_cannot_be_made_twice(
    with_something_to_tell: Tables, id_of_something_else: str
) -> None:
    with pytest.raises(Refused, match=r"(?i)check"):
        with_something_to_tell.insert("deliveries", DELIVERY | {"id": id_of_something_else})


def words(tables: Tables, table: str, column: str) -> set[str]:
    """The words that the schema takes in a column."""
    return set(re.findall(r"'([^']+)'", tables.checked(table, column)))


def test_the_schema_knows_exactly_the_states_of_the_vocabulary(tables: Tables) -> None:
    assert words(tables, "jobs", "state") == {state.value for state in JobState}
