"""Named SQL: each statement is in `sql/*.sql` under `-- name: <name>`, with a comment that names its transition.

One text serves both databases, except for those in a database's own folder, which have their reason in a comment.
Under `-- enqueue: <name>` is a query of tasks. It replaces `@wanted` in the database's own statement `enqueue`.
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
"""The prefix of a numbered parameter: https://sqlite.org/lang_expr.html#varparam, and PREPARE of Postgres."""

_NAME = re.compile(r"^-- (name|enqueue): (\w+)[ \t]*$", re.MULTILINE)
_VALUE = re.compile(r"(?<![:\w]):([a-z_]+)")


class Statement(msgspec.Struct, frozen=True):
    """One statement: its text with numbered parameters, and their names in that order.

    `pick` returns the values in that order. SQLite binds numbered parameters in half the time of named ones.
    """

    text: str
    names: tuple[str, ...]
    pick: Callable[[Mapping[str, object]], Sequence[object]]


@cache
def statements(dialect: Dialect = "sqlite") -> dict[str, Statement]:
    """Return every named statement of a database. Its own text replaces the common one.

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
