"""Where in a JSON text a value is: for errors that name the field. No text takes more than linear time."""

import re
from collections.abc import Iterator

Path = list[int | str | None]
"""The keys and indexes that lead to a value; None stands for a key that has not come yet."""

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?+|[\[\]{},:]|[^\s\[\]{},:"]++', re.DOTALL)
"""A string, also one without an end; a mark; or a number or word."""

_SEPARATORS = (b",", b"[", b"{")
_LONGEST_PATH = 200


def walk(text: bytes) -> Iterator[tuple["re.Match[bytes]", Path]]:
    """Yield each token with the path of its value. The path is changed when the next token is asked for."""
    path: Path = []
    for token in _TOKEN.finditer(text):
        mark = text[token.start() : token.start() + 1]
        if mark in b"]}":
            del path[-1:]
        elif mark == b"," and path:
            path[-1] = path[-1] + 1 if isinstance(path[-1], int) else None
        elif mark == b'"' and path and path[-1] is None:
            path[-1] = token[0][1:-1].decode("utf-8", "replace")[:100]
        yield token, path
        if mark == b"{":
            path.append(None)
        elif mark == b"[":
            path.append(0)


def path_at(text: bytes, at: int) -> str:
    """Return the path of the value at byte `at`, such as `input.faces[2].url`; empty for the whole text."""
    return next((write_path(path) for token, path in walk(text) if token.end() > at), "")


def write_path(path: Path) -> str:
    """Write a path as a field's name, cut to 200 characters."""
    words = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path if step is not None)
    return "".join(words).removeprefix(".")[:_LONGEST_PATH]


def has_more_values(text: bytes, most: int) -> bool:
    """Return whether a text has more than `most` values, without decoding it."""
    if sum(map(text.count, _SEPARATORS)) < most:  # there are fewer values: some separators may stand in strings
        return False
    count, before = 1, b" "
    for token in _TOKEN.finditer(text):
        mark = text[token.start() : token.start() + 1]
        count += mark in _SEPARATORS
        count -= mark in b"]}" and before in b"[{"  # an empty one has no value in it
        if count > most:
            return True
        before = mark
    return False
