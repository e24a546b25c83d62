"""Checking a job's input against a Struct before money is spent, in words that say what would be right."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, TypeVar, get_args

import msgspec

from providers.errors import InputRefused
from providers.reading import read_text
from providers.urls import LONGEST_URL, read_web_url

T = TypeVar("T", bound=msgspec.Struct)

_PLACE = re.compile(r" - at `\$\.?(?P<path>[^`]*)`$")
_NAMED = re.compile(r"required field `(?P<name>[^`]+)`")
_DATA_URI = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[\w.=+-]+)*,\S", re.ASCII)


def check_fields(kind: type[T], given: Mapping[str, object], *, of: str) -> T:
    """Convert an input to its Struct, raising `InputRefused` that names the first wrong field.

    `of` is the model, for the message. Where the Struct forbids unknown fields, the refusal lists the known ones.
    """
    if kind.__struct_config__.forbid_unknown_fields:
        _refuse_unknown(given, kind.__struct_fields__, of)
    try:
        return msgspec.convert(given, kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise _refusal(kind, str(error), of) from error


def check_web_url(field: str, value: str) -> None:
    """Raise `InputRefused` unless the value is an http(s) URL that a provider could fetch."""
    if read_web_url(value) is None:
        raise InputRefused(
            field, f"is not a usable URL; give an http:// or https:// URL of at most {LONGEST_URL} characters"
        )


def check_file_url(field: str, value: str) -> None:
    """Raise `InputRefused` unless the value is an http(s) URL or a data: URI with something in it."""
    if not value.startswith("data:"):
        check_web_url(field, value)
    elif not _DATA_URI.match(value):
        raise InputRefused(field, "is not a usable data: URI; give it as data:<type>/<subtype>;base64,<content>")


def _refuse_unknown(given: Mapping[str, object], known: Iterable[str], of: str) -> None:
    names = list(known)
    for field in given:
        if field not in names:
            near = difflib.get_close_matches(str(field)[:100], names, n=1)
            guess = f"; did you mean {near[0]}?" if near else "."
            raise InputRefused(str(field)[:100], f"is not an input of {of}{guess} Known inputs: {', '.join(names)}")


def _refusal(kind: type[msgspec.Struct], complaint: str, of: str) -> InputRefused:
    place = _PLACE.search(complaint)
    path = place["path"] if place else ""
    named = _NAMED.search(complaint)
    if named:
        field = f"{path}.{named['name']}" if path else named["name"]
        return InputRefused(field, f"is missing and {of} requires it; give {_wanted(kind, field)}")
    what = read_text(complaint[: place.start()] if place else complaint, 200)
    return InputRefused(path or "input", f"is wrong ({what}); give {_wanted(kind, path)}")


def _wanted(kind: type[msgspec.Struct], path: str) -> str:
    """Say what a field should hold, from its own description."""
    for field in msgspec.structs.fields(kind):
        if path.partition(".")[0].partition("[")[0] == field.name:
            for mark in get_args(field.type)[1:]:
                if isinstance(mark, msgspec.Meta) and mark.description:
                    return mark.description
    return "what its documentation describes"


FileUrl = Annotated[str, msgspec.Meta(description="an http(s) URL or a data: URI")]
WebUrl = Annotated[str, msgspec.Meta(description="an http(s) URL that the provider can fetch")]
