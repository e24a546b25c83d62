"""A transaction: named statements that run in order, all or none, and the function that reads what they returned."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec

from ledger.errors import LedgerError

T_co = TypeVar("T_co", covariant=True)

Row = dict[str, Any]
Rows = Sequence[Row]


class Call(msgspec.Struct, frozen=True):
    """One named statement with its own values, or with the transaction's if `values` is None.

    `wakes` are the kinds of work that become due if the statement changes a row. `wakes_each` is the column that holds,
    in each row that it returns, the name of something else that becomes due.
    """

    statement: str
    values: Mapping[str, object] | None = None
    wakes: tuple[str, ...] = ()
    wakes_each: str | None = None


class Transaction(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """One change of the ledger, all or nothing.

    `steps` run in order with `values`. No Python runs between them, so their guards are in the SQL. `read` makes the
    result of the rows that each step returned; it runs after the commit.
    """

    steps: tuple[Call, ...]
    values: Mapping[str, object]
    read: Callable[[Sequence[Rows]], T_co]

    def values_of(self, step: Call) -> Mapping[str, object]:
        """Return the values that a step runs with."""
        return self.values if step.values is None else step.values


class Ran(NamedTuple):
    """The rows that each step of a transaction returned, and the names of what became due."""

    rows: Sequence[Rows]
    due: Sequence[str]


Result = Ran | LedgerError
"""What came of one transaction of a batch."""


def due_after(step: Call, found: Rows, changed: int) -> list[str]:
    """Name what became due by a step that returned the rows `found` and changed so many."""
    due = list(step.wakes) if step.wakes and changed > 0 else []
    if step.wakes_each:
        due += [row[step.wakes_each] for row in found]
    return due
