"""Query parameters: each address declares its own as the fields of a Struct, and one function reads them."""

import contextlib
import re
from typing import Any, TypeVar, get_args

import msgspec
from starlette.requests import Request

from receiver.web.problems import Problem

Query = TypeVar("Query", bound=msgspec.Struct)

_NUMBER = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class NoParameters(msgspec.Struct, frozen=True):
    """The query of an address that has no parameters."""


def read_query(request: Request, kind: type[Query]) -> Query:
    """Read a request's query parameters as a `kind`. An empty value is an unset one.

    Raises Problem 400 that names an unknown parameter and those allowed, or a parameter and what it must be.
    """
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    values: dict[str, Any] = {}
    for name, text in request.query_params.multi_items():
        if name not in fields:
            allowed = f"allowed are {', '.join(fields)}" if fields else "none is allowed here"
            raise parameter_problem(name, f"is not a query parameter of {request.url.path}; {allowed}")
        if name in values:
            raise parameter_problem(name, "is given twice; once is allowed")
        if text:
            values[name] = _convert(fields[name], text)
    return kind(**values)


def _convert(field: msgspec.structs.FieldInfo, text: str) -> Any:
    for given in (text, int(text)) if _NUMBER.fullmatch(text) else (text,):
        with contextlib.suppress(msgspec.ValidationError):
            return msgspec.convert(given, field.type)
    raise parameter_problem(field.name, f"must be {description(field.type) or 'of another form'}, not {text[:100]!r}")


def description(kind: Any) -> str | None:
    """Return what a field must be, as its annotation describes it; None if it does not."""
    notes = [note for note in get_args(kind)[1:] if isinstance(note, msgspec.Meta)]
    return next((note.description for note in notes if note.description), None)


def parameter_problem(name: str, message: str) -> Problem:
    """Make the 400 for a query parameter that is wrong."""
    name = name[:100]
    return Problem(400, f"{name} {message}", errors=((name, message),))
