"""Requests with a JSON body: read as a Struct, each error in plain words beside the field that it is about."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from ledger.canonical import read_number
from receiver.web.problems import Problem

StructT = TypeVar("StructT", bound=msgspec.Struct)

MOST_VALUES = 10_000
"""Values of one body. Decoding a million small ones would stop every other request for half a second."""

BEGINNING = 256 * 1024

_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_EXPECTED = re.compile(r"Expected `([^`]+)`, got `([^`]+)`(?: - at `(?:key in )?\$([^`]*)`)?")
_WORDS = {"str": "a string", "object": "an object", "array": "an array", "bool": "true or false", "null": "null"}


def read_body_as(kind: type[StructT], body: bytes) -> StructT:
    """Read the JSON object `body` as a `kind`. `null` stands for a field's default.

    Raises Problem 400 for what is not JSON, and 422 that names every field that is unknown, absent or of another type.
    """
    raw = _decode_object(body)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    errors = [(name[:100], _unknown(name, fields)) for name in raw if name not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in raw or (bytes(raw[name]) == b"null" and not field.required):
            errors += [(name, "is required")] if field.required else []
            continue
        try:
            values[name] = decode(raw[name], field.type)
        except ValueError as error:
            errors.append(_named(name, str(error)))
    if errors:
        raise unprocessable(errors)
    return kind(**values)


def decode(raw: msgspec.Raw, kind: Any) -> Any:
    """Decode JSON as a `kind`. Raises ValueError, which says what is wrong, and Problem 400 for what is not JSON."""
    try:
        return msgspec.json.Decoder(kind, float_hook=read_number).decode(raw)
    except msgspec.ValidationError as error:
        raise ValueError(_in_words(str(error))) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error) from error


def unprocessable(errors: Iterable[tuple[str, str]]) -> Problem:
    """Make the 422 for fields of a body and what is wrong with each."""
    errors = tuple(errors)
    return Problem(422, "; ".join(f"{field}: {message}" for field, message in errors), errors=errors)


def _decode_object(body: bytes) -> Mapping[str, msgspec.Raw]:
    if count_values(body) > MOST_VALUES:
        raise Problem(
            422, f"the body has more than {MOST_VALUES} JSON values; put long data into a file, and send its URL"
        )
    try:
        return _FIELDS.decode(body)
    except msgspec.ValidationError as error:
        raise Problem(422, "the body must be a JSON object") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error) from error


def count_values(body: bytes) -> int:
    """Count the values of a JSON text, or at least as many; 0 if they are certainly few enough. Linear."""
    beginning = _count(body[:BEGINNING])  # most bodies of very many values have too many in their beginning
    return beginning if beginning > MOST_VALUES or len(body) <= BEGINNING else _count(body)


def _count(text: bytes) -> int:
    if text.count(b",") + text.count(b"[") + text.count(b"{") <= MOST_VALUES:
        return 0
    plain = text.replace(rb"\\", b"").replace(rb"\"", b"")
    strings = plain.count(b'"') // 2
    if strings > 2 * MOST_VALUES:  # at most half of them are keys
        return strings
    outside = b"".join(plain.split(b'"')[::2])
    return sum(outside.count(mark) for mark in (b",", b"[", b"{"))


def _unknown(name: str, fields: Iterable[str]) -> str:
    close = difflib.get_close_matches(name[:100], fields, n=1)
    hint = f"did you mean {close[0]}?" if close else f"the fields are {', '.join(fields)}"
    return f"is not a field; {hint}"


def _named(name: str, message: str) -> tuple[str, str]:
    """Move the path of an error within a field from its message to the name."""
    path, _, rest = message.rpartition("\n")
    return f"{name}{path}", rest


def _in_words(message: str) -> str:
    found = _EXPECTED.search(message)
    if found is None:
        return message.partition(" - at ")[0].replace("Integer value out of range", "has an integer that is too long")
    wanted, given, path = found[1].removesuffix(" | null"), found[2], found[3] or ""
    text = f"must be {_WORDS.get(wanted, 'a number')}, not {_WORDS.get(given, 'a number')}"
    return f"{path.replace('[...]', '')}\n{text}"


def _not_json(error: Exception) -> Problem:
    if isinstance(error, RecursionError):
        return Problem(400, "the body is nested too deeply")
    if isinstance(error, UnicodeDecodeError):
        return Problem(400, "the body is not UTF-8")
    reason = "it ends too early" if "truncated" in str(error) else str(error).removeprefix("JSON is malformed: ")[:200]
    return Problem(400, f"the body is not valid JSON: {reason}")
