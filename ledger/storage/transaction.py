"""A transaction: named statements that run in order, and the function that reads their rows."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from ledger.errors import LedgerError

T_co = TypeVar("T_co", covariant=True)

Row = dict[str, Any]
Rows = Sequence[Row]


class Call(msgspec.Struct, frozen=True):
    """One named statement with its own values, or with those of the transaction if `values` is None.

    `wakes` are the kinds of work that become due if it changes a row. `wakes_each` is a column of the rows that it
    returns, each with the name of something else that becomes due.
    """

    statement: str
    values: Mapping[str, object] | None = None
    wakes: tuple[str, ...] = ()
    wakes_each: str | None = None


class Transaction(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """One change of the ledger: `steps` run in order with `values`.

    No Python runs between the steps, so their conditions are in the SQL. `read` makes the result from the rows of each
    step, after the commit.
    """

    steps: tuple[Call, ...]
    values: Mapping[str, object]
    read: Callable[[Sequence[Rows]], T_co]

    def values_of(self, step: Call) -> Mapping[str, object]:
        """Return the values that a step runs with."""
        return self.values if step.values is None else step.values


class Ran(NamedTuple):
    """The rows of each step of a transaction, and the names of what became due."""

    rows: Sequence[Rows]
    due: Sequence[str]


Result = Ran | LedgerError
"""The result of one transaction of a batch."""


def due_after(step: Call, found: Rows, changed: int) -> list[str]:
    """Return the names of what became due by a step that returned the rows `found` and changed `changed` rows."""
    due = list(step.wakes) if step.wakes and changed > 0 else []
    if step.wakes_each:
        due += [row[step.wakes_each] for row in found]
    return due


def nothing(_: Sequence[Rows]) -> None:
    """Return None: the `read` of a transaction without a result."""


def changed(rows: Sequence[Rows]) -> bool:
    """Return whether the first step returned a row: the `read` of a transaction that may change nothing."""
    return bool(rows[0])
