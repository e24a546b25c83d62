"""How an event is written as one line: as JSON, or as text for people."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal

import msgspec

Level = Literal["debug", "info", "warning", "error"]

LONGEST_LINE = 4096
"""Bytes of a line. The values of a longer one are shortened."""

Fields = Mapping[str, object]
LineFormat = Callable[[Level, str, Fields], bytes]

_SHORTER = (1_000, 200, 40, 0)
"""Characters that are kept of each value, until the line is short enough."""

_COLORS: Mapping[Level, str] = {"debug": "2", "info": "0", "warning": "33", "error": "31"}


def json_line(level: Level, event: str, fields: Fields) -> bytes:
    """Write an event as a JSON object. Whatever the values are, it raises nothing."""
    return _bounded(_json, level, event, fields)


def text_line(level: Level, event: str, fields: Fields) -> bytes:
    """Write an event as text, with `name=value` for each field. Whatever the values are, it raises nothing."""
    return _bounded(_text, level, event, fields)


def colored_line(level: Level, event: str, fields: Fields) -> bytes:
    """Write an event as text for a terminal."""
    return b"\x1b[%sm%s\x1b[0m\n" % (_COLORS[level].encode(), text_line(level, event, fields)[:-1])


def _bounded(write: LineFormat, level: Level, event: str, fields: Fields) -> bytes:
    line = write(level, event, fields)
    for characters in _SHORTER:
        if len(line) <= LONGEST_LINE:
            break
        line = write(level, event, {name: _shorten(value, characters) for name, value in fields.items()})
    return line[: LONGEST_LINE - 1] + b"\n" if len(line) > LONGEST_LINE else line


def _json(level: Level, event: str, fields: Fields) -> bytes:
    line = {"event": event, **fields, "level": level, "timestamp": _now()}
    try:
        return _ENCODER.encode(line) + b"\n"
    except Exception:  # noqa: BLE001 - a lone surrogate, as in a header that is not UTF-8: json escapes it
        return json.dumps({name: _plain(value) for name, value in line.items()}, default=_describe).encode() + b"\n"


def _text(level: Level, event: str, fields: Fields) -> bytes:
    words = [_now(), f"{level:7}", event, *(f"{name}={_word(value)}" for name, value in fields.items())]
    return " ".join(words).encode("utf-8", "backslashreplace") + b"\n"


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _word(value: object) -> str:
    if not isinstance(value, str):
        text = _describe(value)
        return text if text.isprintable() else repr(text)
    bare = value.isprintable() and value and not any(character in value for character in " \"'=")
    return str(value) if bare else repr(str(value))


def _shorten(value: object, characters: int) -> object:
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else _describe(value)
    half = characters // 2
    return text if len(text) <= characters else f"{text[:half]} … {text[len(text) - half :]}"


def _plain(value: object) -> object:
    try:
        json.dumps(value, default=_describe)
    except Exception:  # noqa: BLE001 - a cycle, or nested too deeply
        return _describe(value)
    return value


def _describe(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a line about what failed must not fail by it
        return f"a {type(value).__name__}"


_ENCODER = msgspec.json.Encoder(enc_hook=_describe)
