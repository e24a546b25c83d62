"""The tables refuse rows that contradict themselves, whoever writes them."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from psycopg import sql

from ledger.records import EventType, JobState, RecordResult
from ledger.sqlite.migrate import migrate
from ledger.sqlite.store import _DictConnection
from ledger.storage.migrations import migrations
from ledger.storage.statements import Dialect, statements

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
    "id": "msg_job_00000_1_settings",
    "subject": "job_00000",
    "sequence": 1,
    "endpoint_id": "ep_settings",
    "state": "pending",
    "created_at": 1,
    "due_at": 1,
}
RECEIPT = {
    "id": "rcpt_1",
    "job_id": "job_00000",
    "provider": "fal",
    "source": "callback",
    "result": "orphan",
    "headers": "{}",
    "body": b"",
    "received_at": 1,
}


class Refused(Exception):
    """The database took no such row; its own words."""


class Tables(Protocol):
    """The ledger's tables, without its transactions."""

    def insert(self, table: str, row: dict[str, object]) -> None: ...
    def rows(self, query: str) -> list[tuple[Any, ...]]: ...
    def checked(self, table: str, column: str) -> str:
        """The condition that the schema sets a column."""


class OnSQLite:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        migrate(connection, 1)
        self.insert("providers", {"name": "fal"})

    def insert(self, table: str, row: dict[str, object]) -> None:
        names, marks = ", ".join(row), ", ".join(f":{name}" for name in row)
        try:
            self._connection.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", row)
        except sqlite3.IntegrityError as error:
            raise Refused(str(error)) from error

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return [tuple(row.values()) for row in self._connection.execute(query)]

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

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode()).fetchall()

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
def test_a_consistent_row_is_accepted(tables: Tables, row: dict[str, object]) -> None:
    tables.insert("jobs", row)


@pytest.mark.parametrize(
    ("row", "contradiction"),
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
def test_a_contradiction_is_refused(tables: Tables, row: dict[str, object], contradiction: str) -> None:
    with pytest.raises(Refused):
        tables.insert("jobs", row)


def test_a_request_belongs_to_one_job_and_a_key_to_one_request(tables: Tables) -> None:
    tables.insert("jobs", GOOD | {"provider_request_id": "r", "idempotency_key": "k"})
    for twin in ({"provider_request_id": "r"}, {"idempotency_key": "k"}):
        with pytest.raises(Refused):
            tables.insert("jobs", GOOD | {"id": "job_00001"} | twin)


def test_a_reference_to_a_row_that_does_not_exist_is_refused(tables: Tables) -> None:
    for table, row in (
        ("inputs", {"job_id": "job_none0", "input": "{}", "metadata": "{}"}),
        ("outputs", {"job_id": "job_none0", "position": 1, "url": "u"}),
        ("deliveries", DELIVERY),
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
    tables.insert("receipts", RECEIPT)
    with pytest.raises(Refused, match=r"(?i)unique"):
        tables.insert("receipts", RECEIPT)


@pytest.fixture
def with_events_and_endpoints(tables: Tables) -> Tables:
    """A job, its first two events, and two endpoints."""
    tables.insert("jobs", GOOD)
    for sequence in (1, 2):
        tables.insert("events", {"subject": GOOD["id"], "sequence": sequence, "type": "job.accepted", "at": 1})
    for name in ("settings", "other"):
        tables.insert("endpoints", {"id": f"ep_{name}", "url": name, "source": "job", "created_at": 1})
    return tables


def test_an_endpoint_gets_one_delivery_of_an_event(with_events_and_endpoints: Tables) -> None:
    with_events_and_endpoints.insert("deliveries", DELIVERY)
    with pytest.raises(Refused, match=r"(?i)unique"):
        with_events_and_endpoints.insert("deliveries", DELIVERY)


@pytest.mark.parametrize(
    "other_id",
    [
        "msg_job_00000_2_settings",
        "msg_job_00000_1_other",
        "msg_job_00001_1_settings",
        "msg_job_00000_1_settings2",
        "msg_00000_1_settings",
        "settings",
        "",
    ],
)
def test_the_id_of_a_delivery_is_made_of_its_event_and_endpoint(
    with_events_and_endpoints: Tables, other_id: str
) -> None:
    with pytest.raises(Refused, match=r"(?i)check"):
        with_events_and_endpoints.insert("deliveries", DELIVERY | {"id": other_id})


def test_the_same_notify_url_is_one_endpoint(tables: Tables) -> None:
    tables.insert("endpoints", {"id": "ep_1", "url": "https://a.example/", "source": "job", "created_at": 1})
    with pytest.raises(Refused, match=r"(?i)unique"):
        tables.insert("endpoints", {"id": "ep_2", "url": "https://a.example/", "source": "job", "created_at": 1})
    tables.insert("endpoints", {"id": "ep_3", "url": "https://a.example/", "source": "api", "created_at": 1})


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("receipts", {"result": "foreign"}),
        ("receipts", {"provider": "other"}),
        ("events", {"type": "job.rendered"}),
    ],
)
def test_a_word_that_is_in_no_list_is_refused(tables: Tables, table: str, row: dict[str, object]) -> None:
    good: dict[str, dict[str, object]] = {
        "receipts": RECEIPT,
        "events": {"subject": "run_1", "sequence": 1, "type": "run.completed", "at": 1, "data": "{}"},
    }
    tables.insert(table, good[table])
    with pytest.raises(Refused, match=r"(?i)foreign key"):
        tables.insert(table, good[table] | {"id" if table == "receipts" else "subject": "run_2"} | row)


def test_a_word_that_is_added_to_its_list_is_accepted(tables: Tables) -> None:
    tables.insert("providers", {"name": "replicate"})
    tables.insert("jobs", GOOD | {"provider": "replicate"})
    tables.insert("event_types", {"type": "job.progress", "subject": "job", "public": 0})
    tables.insert("events", {"subject": GOOD["id"], "sequence": 1, "type": "job.progress", "at": 1})


def test_the_schema_has_the_states_of_a_job(tables: Tables) -> None:
    assert set(re.findall(r"'([^']+)'", tables.checked("jobs", "state"))) == {state.value for state in JobState}


def test_the_schema_has_the_event_types(tables: Tables) -> None:
    found = tables.rows("SELECT type, subject, public FROM event_types")
    assert set(found) == {(each.value, each.subject, int(each.public)) for each in EventType}


def test_the_schema_has_the_results_that_leave_a_receipt(tables: Tables) -> None:
    found = dict(tables.rows("SELECT result, needs_attention FROM receipt_results"))
    assert set(found) == set(RecordResult) - {RecordResult.FOREIGN}
    needing = {result for result, needs_attention in found.items() if needs_attention}
    written_out = statements("sqlite")["count_receipts_needing_attention"].text
    assert set(re.findall(r"'(\w+)'", written_out)) == needing


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_the_text_of_the_schema_is_rendered_for_its_database(dialect: Dialect) -> None:
    [migration] = migrations(dialect)
    code = "\n".join(line for line in migration.sql.splitlines() if not line.lstrip().startswith("--"))
    others = {"sqlite": r"BIGINT|BYTEA|COLLATE|plpgsql", "postgres": r"\bINTEGER\b|\bBLOB\b|STRICT;|ROWID"}
        "sqlite": r"\bID\b|\bBIGINT\b|\bBYTEA\b|COLLATE|plpgsql",
        "postgres": r"\bID\b|\bINTEGER\b|\bBLOB\b|STRICT;|ROWID",
    }
    assert re.findall(foreign[dialect], code) == []


def test_no_provider_is_named_in_a_statement() -> None:
    texts = [migration.sql for migration in migrations("sqlite")]
    texts += [each.text for dialect in ("sqlite", "postgres") for each in statements(dialect).values()]
    assert [text for text in texts if re.search(r"'(fal|heygen)'", text)] == []
