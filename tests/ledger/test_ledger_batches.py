"""A batch on SQLite: one transaction without savepoints; if one part fails, again with a savepoint for each."""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ledger.errors import Contradiction, DiskFull, Unavailable
from ledger.requests import NewJob
from ledger.sqlite import transactions as batches
from ledger.sqlite.migrate import migrate
from ledger.sqlite.store import _DictConnection
from ledger.sqlite.transactions import run_batch
from ledger.storage.statements import Statement, _numbered, statements
from ledger.storage.transaction import Call, Ran, Result, Transaction
from ledger.transitions import jobs
from tests.conftest import NOON


class Ledger:
    """A file with one connection, and a trace of the statements that ran on it."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=0, factory=_DictConnection)
        self.connection.execute("PRAGMA foreign_keys = ON")
        migrate(self.connection, NOON)
        self.connection.execute("INSERT INTO providers (name) VALUES ('fal')")
        self._traced: list[str] = []
        self.connection.set_trace_callback(self._traced.append)

    def run(self, *transactions: Transaction[Any]) -> Sequence[Result]:
        results = run_batch(self.connection, transactions)
        assert not self.connection.in_transaction
        return results

    def trace(self) -> list[str]:
        """Return the statements about transactions and savepoints since the last call."""
        wanted = ("BEGIN", "COMMIT", "ROLLBACK TO", "ROLLBACK", "SAVEPOINT", "RELEASE")
        found = [[each for each in wanted if line.startswith(each)] for line in self._traced]
        self._traced.clear()
        return [each[0] for each in found if each]

    def jobs(self) -> list[str]:
        """Return the ids of all jobs, and check that each has one input, one event and one task."""
        ids = [row["id"] for row in self.connection.execute("SELECT id FROM jobs ORDER BY id")]
        for statement in (
            "SELECT job_id AS id FROM inputs ORDER BY job_id",
            "SELECT subject AS id FROM events ORDER BY subject",
            "SELECT subject AS id FROM work ORDER BY subject",
        ):
            assert [row["id"] for row in self.connection.execute(statement)] == ids
        return ids


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    opened = Ledger(tmp_path / "batches.db")
    yield opened
    opened.connection.close()


def good() -> Transaction[Any]:
    return jobs.accept(NewJob(provider="fal", model="a/b", input="{}"), now=NOON)


def broken_after(transaction: Transaction[Any], *steps: Call) -> Transaction[Any]:
    """Return the transaction with a last step that a constraint rejects."""
    last = Call("insert_job", {**transaction.values, "job_id": "x", "idempotency_key": None})
    return Transaction(
        steps=(*transaction.steps, *steps, *(() if steps else (last,))),
        values=transaction.values,
        read=transaction.read,
    )


def ids(*transactions: Transaction[Any]) -> list[str]:
    return sorted(str(transaction.values["job_id"]) for transaction in transactions)


@pytest.fixture
def faulty_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Add statements that cause faults which the ledger's own statements cannot cause."""
    more: dict[str, Statement] = {
        "roll_back_everything": _numbered(
            "INSERT OR ROLLBACK INTO events VALUES ('job_never', 0, 'x', 0, 0, 'x', NULL)", "?"
        ),
        "defer_foreign_keys": _numbered("PRAGMA defer_foreign_keys = ON", "?"),
        "insert_orphaned_input": _numbered(
            "INSERT INTO inputs (job_id, input, metadata) VALUES ('job_never', '{}', '{}')", "?"
        ),
    }
    monkeypatch.setattr(batches, "statements", lambda dialect="sqlite": statements(dialect) | more)


def test_a_batch_without_faults_is_one_transaction_without_savepoints(ledger: Ledger) -> None:
    transactions = [good() for _ in range(3)]
    results = ledger.run(*transactions)
    assert ledger.trace() == ["BEGIN", "COMMIT"]
    assert ledger.jobs() == ids(*transactions)
    for transaction, result in zip(transactions, results, strict=True):
        assert isinstance(result, Ran)
        assert len(result.rows) == len(transaction.steps)
        assert transaction.read(result.rows).job_id == transaction.values["job_id"]
        assert list(result.due) == ["submit"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_failed_transaction_leaves_nothing_and_the_others_are_written_once(ledger: Ledger, place: int) -> None:
    others = [good(), good()]
    bad = broken_after(good())
    results = ledger.run(*others[:place], bad, *others[place:])
    assert [type(result) for result in results] == [Contradiction if each == place else Ran for each in range(3)]
    assert ledger.jobs() == ids(*others)


def test_only_the_failed_transaction_is_rolled_back_in_the_second_run(ledger: Ledger) -> None:
    ledger.run(good(), broken_after(good()), good())
    first, second = ["BEGIN", "ROLLBACK"], ["BEGIN"]
    kept, undone = ["SAVEPOINT", "RELEASE"], ["SAVEPOINT", "ROLLBACK TO", "RELEASE"]
    assert ledger.trace() == [*first, *second, *kept, *undone, *kept, "COMMIT"]


def test_each_failed_transaction_has_its_own_error(ledger: Ledger) -> None:
    too_big = good()
    too_big = Transaction(steps=too_big.steps, values={**too_big.values, "now": 2**70}, read=too_big.read)
    accepted = good()
    refused, written, unbound = ledger.run(broken_after(good()), accepted, too_big)
    assert isinstance(refused, Contradiction)
    assert "CHECK constraint failed" in str(refused)
    assert isinstance(unbound, Contradiction)
    assert "too large" in str(unbound)
    assert isinstance(written, Ran)
    assert ledger.jobs() == ids(accepted)


def test_a_failed_transaction_alone_in_its_batch_leaves_nothing(ledger: Ledger) -> None:
    [result] = ledger.run(broken_after(good()))
    assert isinstance(result, Contradiction)
    assert ledger.jobs() == []


def test_when_sqlite_rolls_back_by_itself_every_transaction_of_the_batch_fails(
    ledger: Ledger, faulty_statements: None
) -> None:
    """What ran before is undone, and what would run after would be outside of any transaction."""
    before, after = good(), good()
    results = ledger.run(before, broken_after(good(), Call("roll_back_everything")), after)
    assert [type(result) for result in results] == [Contradiction] * 3
    assert ledger.trace() == ["BEGIN", "BEGIN", "SAVEPOINT", "RELEASE", "SAVEPOINT"]
    assert ledger.jobs() == []
    assert [type(result) for result in ledger.run(before, after)] == [Ran] * 2
    assert ledger.jobs() == ids(before, after)


def test_on_a_full_disk_exactly_the_transactions_without_an_error_are_written(ledger: Ledger) -> None:
    """SQLite may roll back the statement or the whole transaction."""
    [row] = ledger.connection.execute("PRAGMA max_page_count = 1").fetchall()  # as many pages as there are
    long = jobs.accept(NewJob(provider="fal", model="a/b", input="x" * 4096 * row["max_page_count"]), now=NOON)
    transactions = [good(), long, good()]
    results = ledger.run(*transactions)
    assert isinstance(results[1], DiskFull)
    assert {type(result) for result in results} <= {Ran, DiskFull}
    assert ledger.jobs() == ids(
        *(transaction for transaction, result in zip(transactions, results, strict=True) if isinstance(result, Ran))
    )


def test_a_failed_commit_fails_every_transaction_and_writes_nothing(ledger: Ledger, faulty_statements: None) -> None:
    orphan = Transaction(steps=(Call("defer_foreign_keys"), Call("insert_orphaned_input")), values={}, read=list)
    results = ledger.run(good(), orphan)
    assert [type(result) for result in results] == [Contradiction] * 2
    assert "FOREIGN KEY" in str(results[0])
    assert ledger.trace() == ["BEGIN", "COMMIT", "ROLLBACK"]
    assert ledger.jobs() == []


def test_a_locked_database_fails_every_transaction_after_one_try(ledger: Ledger, tmp_path: Path) -> None:
    """Each try waits for the busy timeout; a second one would double the wait of every caller."""
    other = sqlite3.connect(tmp_path / "batches.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    results = ledger.run(good(), good())
    other.close()
    assert [type(result) for result in results] == [Unavailable] * 2
    assert "locked" in str(results[0])
    assert ledger.trace() == ["BEGIN"]
    assert ledger.jobs() == []


def test_a_failed_transaction_makes_no_work_due(ledger: Ledger) -> None:
    failed, written = ledger.run(broken_after(good()), good())
    assert not isinstance(failed, Ran)
    assert isinstance(written, Ran)
    assert list(written.due) == ["submit"]  # once, although it ran twice


def test_a_step_that_changes_no_row_makes_no_work_due(ledger: Ledger) -> None:
    new = NewJob(provider="fal", model="a/b", input="{}", idempotency_key="key-1")
    first, again = ledger.run(jobs.accept(new, now=NOON), jobs.accept(new, now=NOON))
    assert isinstance(first, Ran)
    assert isinstance(again, Ran)
    assert (list(first.due), list(again.due)) == (["submit"], [])
