"""Named SQL: each statement stands in `sql/*.sql` under `-- name: <verb>`, its comment saying which arrow it is."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from operator import itemgetter

import msgspec

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)
_VALUE = re.compile(r"(?<![:\w]):([a-z_]+)")


class Statement(msgspec.Struct, frozen=True):
    """One statement: its text, whose values are numbered, and the names of those values in that order.

    `pick` puts the values that the statement names in that order: SQLite binds those in half the time of names.
    """

    text: str
    names: tuple[str, ...]
    pick: Callable[[Mapping[str, object]], Sequence[object]]


@cache
def statements() -> dict[str, Statement]:
    """Read every named statement, once. Raises ValueError when a name is used twice or a file begins without one."""
    found: dict[str, Statement] = {}
    for file in sorted(resources.files("ledger").joinpath("sql").iterdir(), key=lambda entry: entry.name):
        preamble, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        if any(line.strip() and not line.startswith("--") for line in preamble.splitlines()):
            raise ValueError(f"{file.name}: SQL before the first `-- name:` line")
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"{file.name}: statement {name} is defined twice")
            found[name] = _numbered(_without_comments(text))
    return found


def _without_comments(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().removesuffix(";")


def _numbered(text: str) -> Statement:
    names = tuple(dict.fromkeys(_VALUE.findall(text)))
    return Statement(_VALUE.sub(lambda match: f"?{names.index(match[1]) + 1}", text), names, _picker(names))


def _picker(names: tuple[str, ...]) -> Callable[[Mapping[str, object]], Sequence[object]]:
    if len(names) > 1:
        return itemgetter(*names)
    return lambda values: [values[name] for name in names]
