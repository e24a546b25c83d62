"""Named SQL: each statement stands in `sql/*.sql` under `-- name: <name>`, its comment saying which transition it is.

One text serves both databases. Where one of them needs another, it stands in its own folder, with the reason.
Under `-- enqueue: <name>` stands a query of the work that is to be done. The statement is the database's own
`enqueue`, in which the query replaces `@wanted`.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from operator import itemgetter
from typing import Literal

import msgspec

Dialect = Literal["sqlite", "postgres"]

_MARK: dict[Dialect, str] = {"sqlite": "?", "postgres": "$"}
"""How a numbered value is written: https://sqlite.org/lang_expr.html#varparam, and `PREPARE` of Postgres."""

_NAME = re.compile(r"^-- (name|enqueue): (\w+)[ \t]*$", re.MULTILINE)
_VALUE = re.compile(r"(?<![:\w]):([a-z_]+)")


class Statement(msgspec.Struct, frozen=True):
    """One statement: its text, whose values are numbered, and the names of those values in that order.

    `pick` returns the values in that order. SQLite binds numbered values in half the time of named ones.
    """

    text: str
    names: tuple[str, ...]
    pick: Callable[[Mapping[str, object]], Sequence[object]]


@cache
def statements(dialect: Dialect = "sqlite") -> dict[str, Statement]:
    """Return every named statement of a database. Its own replaces the common one of the same name.

    Raises ValueError if a name is used twice in one folder, or if a file has SQL before the first name.
    """
    found = _read("sql") | _read(f"sql/{dialect}")
    _, enqueue = found.pop("enqueue")
    texts = {name: enqueue.replace("@wanted", text) if work else text for name, (work, text) in found.items()}
    return {name: _numbered(text, _MARK[dialect]) for name, text in texts.items()}


def _read(folder: str) -> dict[str, tuple[bool, str]]:
    """Return each statement of a folder by its name, and whether it is a query of work to enqueue."""
    found: dict[str, tuple[bool, str]] = {}
    files = resources.files("ledger").joinpath(folder).iterdir()
    for file in sorted((file for file in files if file.name.endswith(".sql")), key=lambda entry: entry.name):
        preamble, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        if any(line.strip() and not line.startswith("--") for line in preamble.splitlines()):
            raise ValueError(f"{file.name}: SQL before the first `-- name:` line")
        for mark, name, text in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
            if name in found:
                raise ValueError(f"{file.name}: statement {name} is defined twice")
            found[name] = mark == "enqueue", _without_comments(text)
    return found


def _without_comments(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().removesuffix(";")


def _numbered(text: str, mark: str) -> Statement:
    names = tuple(dict.fromkeys(_VALUE.findall(text)))
    return Statement(_VALUE.sub(lambda match: f"{mark}{names.index(match[1]) + 1}", text), names, _picker(names))


def _picker(names: tuple[str, ...]) -> Callable[[Mapping[str, object]], Sequence[object]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: [values[name] for name in names]
