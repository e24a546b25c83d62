"""The words that the schema accepts are those of the code, and can be added to."""

import re

import pytest

from ledger.records import EventType, JobState, RecordResult
from ledger.storage.migrations import migrations
from ledger.storage.statements import Dialect, statements
from tests.ledger.tables import EVENT, GOOD, RECEIPT, Refused, Tables, tables

__all__ = ["tables"]


@pytest.mark.parametrize(
    ("table", "row"),
    [
        ("receipts", {"result": "foreign"}),
        ("receipts", {"provider": "other"}),
        ("events", {"type": "job.rendered"}),
        ("events", {"public": 1}),
    ],
)
def test_a_word_that_is_in_no_list_is_refused(tables: Tables, table: str, row: dict[str, object]) -> None:
    good: dict[str, dict[str, object]] = {
        "receipts": RECEIPT,
        "events": EVENT,
    }
    tables.insert(table, good[table])
    with pytest.raises(Refused, match=r"(?i)foreign key"):
        tables.insert(table, good[table] | {"id" if table == "receipts" else "subject": "run_2"} | row)


def test_a_word_that_is_added_to_its_list_is_accepted(tables: Tables) -> None:
    tables.insert("providers", {"name": "replicate"})
    tables.insert("jobs", GOOD | {"provider": "replicate"})
    tables.insert("event_types", {"type": "job.progress", "subject": "job", "public": 0})
    tables.insert("events", EVENT | {"type": "job.progress"})


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
    assert re.findall(rf"\bID\b|{others[dialect]}", code) == []


def test_no_provider_is_named_in_a_statement() -> None:
    texts = [migration.sql for migration in migrations("sqlite")]
    texts += [each.text for dialect in ("sqlite", "postgres") for each in statements(dialect).values()]
    assert [text for text in texts if re.search(r"'(fal|heygen)'", text)] == []
