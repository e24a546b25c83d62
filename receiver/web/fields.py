"""How fields of requests are described in errors: what they must be, and which known name was meant."""

import difflib
from collections.abc import Collection, Sequence
from typing import Any, get_args

import msgspec

from receiver.web.problems import Problem


def describe(kind: Any) -> str:
    """Return the description in a field's annotation: what the field must be."""
    notes = [note for note in get_args(kind)[1:] if isinstance(note, msgspec.Meta)]
    return next((note.description for note in notes if note.description), "of another form")


def did_you_mean(name: str, known: Collection[str], *, cutoff: float = 0.6) -> str | None:
    """Return the known name that resembles `name` most, whatever the case of its letters; None if none does."""
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(name[:300].casefold(), folded, n=1, cutoff=cutoff)
    return folded[close[0]] if close else None


def fields_problem(errors: Sequence[tuple[str, str]]) -> Problem:
    """Make the 422 for fields of the body that are wrong."""
    return Problem(422, "; ".join(f"{field}: {message}" for field, message in errors), errors=errors)
