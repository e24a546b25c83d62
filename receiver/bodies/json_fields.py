"""JSON bodies of requests: read in bounded time, with errors that name the field in plain words."""

import json
import math
import re
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from receiver.bodies.json_tokens import has_more_values, path_at, walk, write_path
from receiver.web.fields import describe, did_you_mean, fields_problem
from receiver.web.problems import Problem

Fields = TypeVar("Fields", bound=msgspec.Struct)

MOST_VALUES = 50_000
"""A body with more is refused: one C call that holds the interpreter would decode it."""

_AT_BYTE = re.compile(r"(?:JSON is malformed: )?(?P<reason>.*) \(byte (?P<at>\d+)\)$")
_HALF_PAIR_AT_END = re.compile(rb'\\u[dD][89abAB][0-9a-fA-F]{2}"[^"\\]{0,6}\Z')
_HALF_PAIR = "a \\u escape is half of a surrogate pair"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NOT_NUMBERS = (b"NaN", b"Infinity")
_LONGEST_INTEGER = len("-") + 309
"""How long the text of an integer may be that a double holds."""


def read_fields(
    body: bytes,
    kind: type[Fields],
    *,
    of: str,
    other_names: Mapping[str, str] = MappingProxyType({}),
    allowed: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> Fields:
    """Read an object as a `kind`; null is an absent field where the field is optional.

    `of` says what the fields belong to. `other_names` are names that users may try, each with the field that they mean.
    `allowed` has the values of fields that have only these.
    Raises Problem: 400 if the body is not JSON, 422 that names every field that is unknown, missing or of another type.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    errors: list[tuple[str, str]] = []
    for name, raw in _read_object(body.removeprefix(_BYTE_ORDER_MARK)).items():
        field = fields.get(name)
        if field is None:
            errors.append((name[:100], _unknown(name, fields, of, other_names)))
        elif field.required or bytes(raw) != b"null":
            try:
                values[name] = msgspec.json.decode(raw, type=field.type)
            except msgspec.ValidationError:
                errors.append((name, f"must be {describe(field.type)}"))
    for name, words in allowed.items():
        if name in values and values[name] not in words:
            errors.append((name, f"must be one of {', '.join(words)}{_guess(values[name], words)}"))
    wrong = {name for name, _ in errors}
    missing = [field for name, field in fields.items() if field.required and name not in wrong | values.keys()]
    errors += [(field.name, f"is required: give {describe(field.type)}") for field in missing]
    if errors:
        raise fields_problem(errors)
    return kind(**values)


def read_values(raw: msgspec.Raw, field: str) -> dict[str, Any]:
    """Decode the object in a field. Raises Problem 422 for another value, and for a number that no double holds.

    Raises RecursionError for one that is nested too deeply.
    """
    text = bytes(raw)
    if not text.startswith(b"{"):
        raise fields_problem([(field, "must be an object")])
    try:
        values: dict[str, Any] = json.loads(text, parse_int=_integer, parse_float=_real)
    except _TooLarge as error:
        number = error.text.encode()
        path = next(write_path([field, *path]) for token, path in walk(text) if token[0] == number)
        message = "is a number beyond 1.8e308, which many readers of JSON refuse; send it as a string"
        raise fields_problem([(path, message)]) from None
    return values


def _read_object(body: bytes) -> dict[str, msgspec.Raw]:
    if not body.strip():
        raise Problem(400, "the body is empty; send a JSON object")
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise _malformed(body, error.start, "not UTF-8") from None
    if has_more_values(body, MOST_VALUES):
        raise Problem(413, f"the body has more than {MOST_VALUES} values")
    try:
        return msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.ValidationError:
        raise Problem(422, "the body must be a JSON object") from None
    except RecursionError:
        raise too_deep() from None
    except msgspec.DecodeError as error:
        found = _AT_BYTE.match(str(error))
        if found:
            raise _malformed(body, int(found["at"]), found["reason"]) from None
        half = _HALF_PAIR_AT_END.search(body)
        if half:
            raise _malformed(body, half.start(), _HALF_PAIR) from None
        raise _malformed(body, len(body) - 1, "it ends too early") from None


def _malformed(body: bytes, at: int, reason: str) -> Problem:
    if body.startswith(_NOT_NUMBERS, at):
        reason = "NaN and Infinity are not JSON"
    if "surrogate" in reason or "hex escape" in reason:
        reason = _HALF_PAIR
    field = path_at(body, at)
    detail = f"the body is not valid JSON: {reason} (byte {at}{f', in {field}' if field else ''})"
    return Problem(400, detail, errors=[(field, reason)] if field else ())


def too_deep() -> Problem:
    """Make the 400 for arrays and objects within one another beyond what can be decoded."""
    return Problem(400, "the body is nested too deeply")


def _unknown(name: str, known: Collection[str], of: str, other_names: Mapping[str, str]) -> str:
    guess = f"; did you mean {other_names[name]}?" if name in other_names else _guess(name, known)
    return f"is not a field of {of}{guess or '.'} Its fields are {', '.join(known)}"


def _guess(name: str, known: Collection[str]) -> str:
    close = did_you_mean(name, known)
    return f"; did you mean {close}?" if close else ""


class _TooLarge(Exception):
    """A number that no double holds. `text` is how it is written."""

    def __init__(self, text: str) -> None:
        super().__init__(text[:100])
        self.text = text


def _real(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise _TooLarge(text)
    return value


def _integer(text: str) -> int:
    if len(text) > _LONGEST_INTEGER or math.isinf(float(text)):
        raise _TooLarge(text)
    return int(text)
