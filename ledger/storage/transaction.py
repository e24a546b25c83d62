"""A transaction: named statements that run in one transaction, in order, and one reading of what they returned."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec

T_co = TypeVar("T_co", covariant=True)

Row = dict[str, Any]
Rows = Sequence[Row]


class Call(msgspec.Struct, frozen=True):
    """One named statement with its own values, or with the transaction's when it has none.

    `wakes` are the kinds of work that are due if the statement changed a row; `wakes_each` is the column that names, in
    each row that it returns, who else has something to do.
    """

    statement: str
    values: Mapping[str, object] | None = None
    wakes: tuple[str, ...] = ()
    wakes_each: str | None = None


class Transaction(msgspec.Struct, Generic[T_co], frozen=True, kw_only=True):
    """One change of the ledger, whole or not at all.

    `steps` run in order with `values`; no Python runs between them, so the guards are in the SQL. `read` turns the
    rows that each step returned into the result; it runs after the commit.
    """

    steps: tuple[Call, ...]
    values: Mapping[str, object]
    read: Callable[[Sequence[Rows]], T_co]
