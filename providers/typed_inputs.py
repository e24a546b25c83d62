"""Checking a job's input against a Struct before it is submitted, with messages that say what would be right."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, TypeVar, get_args

import msgspec

from providers.errors import InputRefused
from providers.reading import read_text
from providers.urls import LONGEST_URL, read_http_url

T = TypeVar("T", bound=msgspec.Struct)

_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_NAMED = re.compile(r"required field `(?P<name>[^`]+)`")
_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[\w.=+-]+)*,\S", re.ASCII)


def check_fields(kind: type[T], fields: Mapping[str, object], *, of: str) -> T:
    """Convert an input to its Struct. Raises `InputRefused` for the first wrong field.

    `of` is the model, for the message. When the Struct forbids unknown fields, the message lists the known ones.
    """
    if kind.__struct_config__.forbid_unknown_fields:
        _refuse_unknown(fields, kind.__struct_fields__, of)
    try:
        return msgspec.convert(fields, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _refusal(kind, str(error), of) from error


def check_http_url(field: str, value: str) -> None:
    """Raise `InputRefused` unless the value is an http(s) URL that a provider could fetch."""
    if read_http_url(value) is None:
        raise InputRefused(
            field, f"is not a usable URL; give an http:// or https:// URL of at most {LONGEST_URL} characters"
        )


def check_file_url(field: str, value: str) -> None:
    """Raise `InputRefused` unless the value is an http(s) URL or a data: URI with content."""
    if not value.startswith("data:"):
        check_http_url(field, value)
    elif not _DATA_URI.match(value):
        raise InputRefused(field, "is not a usable data: URI; give it as data:<type>/<subtype>;base64,<content>")


def _refuse_unknown(fields: Mapping[str, object], known: Iterable[str], of: str) -> None:
    names = list(known)
    for field in fields:
        if field not in names:
            close = difflib.get_close_matches(str(field)[:100], names, n=1)
            guess = f"; did you mean {close[0]}?" if close else "."
            raise InputRefused(str(field)[:100], f"is not an input of {of}{guess} Known inputs: {', '.join(names)}")


def _refusal(kind: type[msgspec.Struct], message: str, of: str) -> InputRefused:
    place = _PLACE.search(message)
    path = place["path"] if place else ""
    named = _NAMED.search(message)
    if named:
        field = f"{path}.{named['name']}" if path else named["name"]
        return InputRefused(field, f"is missing and {of} requires it; give {_expected(kind, field)}")
    reason = read_text(message[: place.start()] if place else message, 200)
    return InputRefused(path or "input", f"is wrong ({reason}); give {_expected(kind, path)}")


def _expected(kind: type[msgspec.Struct], path: str) -> str:
    """Return the description of a field, from its annotation."""
    for field in msgspec.structs.fields(kind):
        if path.partition(".")[0].partition("[")[0] == field.name:
            for meta in get_args(field.type)[1:]:
                if isinstance(meta, msgspec.Meta) and meta.description:
                    return meta.description
    return "what its documentation describes"


FileUrl = Annotated[str, msgspec.Meta(description="an http(s) URL or a data: URI")]
HttpUrl = Annotated[str, msgspec.Meta(description="an http(s) URL that the provider can fetch")]
