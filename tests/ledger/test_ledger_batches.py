"""A batch: together at one price while all goes well, and each for itself as soon as one fails."""

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
    """A file with one connection, and what was said to SQLite over it since the last look."""

    def __init__(self, path: Path) -> None:
        self.connection = sqlite3.connect(path, isolation_level=None, timeout=0, factory=_DictConnection)
        self.connection.execute("PRAGMA foreign_keys = ON")
        migrate(self.connection, NOON)
        self.connection.execute("INSERT INTO providers (name) VALUES ('fal')")
        self._said: list[str] = []
        self.connection.set_trace_callback(self._said.append)

    def run(self, *transactions: Transaction[Any]) -> Sequence[Result]:
        results = run_batch(self.connection, transactions)
        assert not self.connection.in_transaction
        return results

    def said(self, *beginnings: str) -> list[str]:
        """The words that begin or end something, or those statements that begin so, each by its beginning."""
        wanted = beginnings or ("BEGIN", "COMMIT", "ROLLBACK TO", "ROLLBACK", "SAVEPOINT", "RELEASE")
        found = [[each for each in wanted if line.startswith(each)] for line in self._said]
        self._said.clear()
        return [each[0] for each in found if each]

    def jobs(self) -> list[str]:
        """The jobs there are: each with one input, one event and one piece of work, or this fails."""
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
    """Do all that `transaction` does, and then what cannot be done."""
    last = Call("insert_job", {**transaction.values, "job_id": "x", "idempotency_key": None})
    return Transaction(
        steps=(*transaction.steps, *steps, *(() if steps else (last,))),
        values=transaction.values,
        read=transaction.read,
    )


def ids(*transactions: Transaction[Any]) -> list[str]:
    return sorted(str(transaction.values["job_id"]) for transaction in transactions)


@pytest.fixture
def speaking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Statements that none of ours are, for what ours cannot bring about."""
    more: dict[str, Statement] = {
        "give_up_everything": _numbered(
            "INSERT OR ROLLBACK INTO events VALUES ('job_never', 0, 'x', 0, 0, 'x', NULL)", "?"
        ),
        "believe_until_the_end": _numbered("PRAGMA defer_foreign_keys = ON", "?"),
        "promise_a_job": _numbered(
            "INSERT INTO inputs (job_id, input, metadata) VALUES ('job_never', '{}', '{}')", "?"
        ),
    }
    monkeypatch.setattr(batches, "statements", lambda dialect="sqlite": statements(dialect) | more)


def test_what_goes_well_is_one_transaction_without_a_savepoint(ledger: Ledger) -> None:
    transactions = [good() for _ in range(3)]
    results = ledger.run(*transactions)
    assert ledger.said() == ["BEGIN", "COMMIT"]
    assert ledger.jobs() == ids(*transactions)
    for transaction, result in zip(transactions, results, strict=True):
        assert isinstance(result, Ran)
        assert len(result.rows) == len(transaction.steps)
        assert transaction.read(result.rows).job_id == transaction.values["job_id"]
        assert list(result.due) == ["submit"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_verb_that_fails_half_way_leaves_nothing_and_the_others_stand_once_each(ledger: Ledger, place: int) -> None:
    others = [good(), good()]
    bad = broken_after(good())
    results = ledger.run(*others[:place], bad, *others[place:])
    assert [type(result) for result in results] == [Contradiction if each == place else Ran for each in range(3)]
    assert ledger.jobs() == ids(*others)


def test_only_what_failed_is_rolled_back_the_second_time(ledger: Ledger) -> None:
    ledger.run(good(), broken_after(good()), good())
    first, second = ["BEGIN", "ROLLBACK"], ["BEGIN"]
    stood, fell = ["SAVEPOINT", "RELEASE"], ["SAVEPOINT", "ROLLBACK TO", "RELEASE"]
    assert ledger.said() == [*first, *second, *stood, *fell, *stood, "COMMIT"]


def test_several_may_fail_each_by_its_own_fault(ledger: Ledger) -> None:
    too_big = good()
    too_big = Transaction(steps=too_big.steps, values={**too_big.values, "now": 2**70}, read=too_big.read)
    standing = good()
    refused, stood, held = ledger.run(broken_after(good()), standing, too_big)
    assert isinstance(refused, Contradiction)
    assert "CHECK constraint failed" in str(refused)
    assert isinstance(held, Contradiction)
    assert "too large" in str(held)
    assert isinstance(stood, Ran)
    assert ledger.jobs() == ids(standing)


def test_a_verb_that_failed_alone_leaves_nothing_either(ledger: Ledger) -> None:
    [result] = ledger.run(broken_after(good()))
    assert isinstance(result, Contradiction)
    assert ledger.jobs() == []


def test_what_makes_sqlite_give_up_the_whole_transaction_fails_everybody(ledger: Ledger, speaking: None) -> None:
    """What came before it is gone, and what comes after it would be outside of any transaction."""
    before, after = good(), good()
    results = ledger.run(before, broken_after(good(), Call("give_up_everything")), after)
    assert [type(result) for result in results] == [Contradiction] * 3
    assert ledger.said() == ["BEGIN", "BEGIN", "SAVEPOINT", "RELEASE", "SAVEPOINT"]
    assert ledger.jobs() == []
    assert [type(result) for result in ledger.run(before, after)] == [Ran] * 2
    assert ledger.jobs() == ids(before, after)


def test_a_disk_that_fills_up_leaves_those_who_were_told_that_they_stand(ledger: Ledger) -> None:
    """SQLite may give up one statement or the whole transaction then: it is heard either way by whom it concerns."""
    [row] = ledger.connection.execute("PRAGMA max_page_count = 1").fetchall()  # as many pages as there are
    long = jobs.accept(NewJob(provider="fal", model="a/b", input="x" * 4096 * row["max_page_count"]), now=NOON)
    transactions = [good(), long, good()]
    results = ledger.run(*transactions)
    assert isinstance(results[1], DiskFull)
    assert {type(result) for result in results} <= {Ran, DiskFull}
    assert ledger.jobs() == ids(
        *(transaction for transaction, result in zip(transactions, results, strict=True) if isinstance(result, Ran))
    )


def test_a_commit_that_fails_is_heard_by_everybody_and_nothing_stands(ledger: Ledger, speaking: None) -> None:
    promise = Transaction(steps=(Call("believe_until_the_end"), Call("promise_a_job")), values={}, read=list)
    results = ledger.run(good(), promise)
    assert [type(result) for result in results] == [Contradiction] * 2
    assert "FOREIGN KEY" in str(results[0])
    assert ledger.said() == ["BEGIN", "COMMIT", "ROLLBACK"]
    assert ledger.jobs() == []


def test_a_ledger_that_is_locked_is_heard_by_everybody_and_asked_once(ledger: Ledger, tmp_path: Path) -> None:
    """Each asking waits for as long as the busy timeout allows: a second one would keep everybody waiting twice."""
    other = sqlite3.connect(tmp_path / "batches.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    results = ledger.run(good(), good())
    other.close()
    assert [type(result) for result in results] == [Unavailable] * 2
    assert "locked" in str(results[0])
    assert ledger.said() == ["BEGIN"]
    assert ledger.jobs() == []


def test_a_verb_that_failed_makes_no_work_due(ledger: Ledger) -> None:
    failed, stood = ledger.run(broken_after(good()), good())
    assert not isinstance(failed, Ran)
    assert isinstance(stood, Ran)
    assert list(stood.due) == ["submit"]  # once, though it was run twice


def test_a_step_that_changes_no_row_makes_no_work_due(ledger: Ledger) -> None:
    new = NewJob(provider="fal", model="a/b", input="{}", idempotency_key="key-1")
    first, again = ledger.run(jobs.accept(new, now=NOON), jobs.accept(new, now=NOON))
    assert isinstance(first, Ran)
    assert isinstance(again, Ran)
    assert (list(first.due), list(again.due)) == (["submit"], [])
