"""Named SQL: each statement stands in `sql/*.sql` under `-- name: <verb>`, its comment saying which arrow it is."""

import re
from functools import cache
from importlib import resources

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


@cache
def statements() -> dict[str, str]:
    """Read every named statement, once. Raises ValueError when a name is used twice or a file begins without one."""
    found: dict[str, str] = {}
    for file in sorted(resources.files("ledger").joinpath("sql").iterdir(), key=lambda entry: entry.name):
        preamble, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        if any(line.strip() and not line.startswith("--") for line in preamble.splitlines()):
            raise ValueError(f"{file.name}: SQL before the first `-- name:` line")
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"{file.name}: statement {name} is defined twice")
            found[name] = _without_comments(text)
    return found


def _without_comments(text: str) -> str:
    lines = (line for line in text.splitlines() if not line.lstrip().startswith("--"))
    return "\n".join(lines).strip().removesuffix(";")
