"""Removes secrets from the fields of events, before they are logged and counted."""

from collections.abc import Callable

from telemetry.emit import Emit

OURS = frozenset({"delivery", "endpoint", "job", "kind", "outcome", "provider", "result", "state", "subject"})
"""Fields with our identifiers and words, in most events. They are not searched: that would take longer than logging."""


def redacted(emit: Emit, redact: Callable[[str], str]) -> Emit:
    """Return an `Emit` that passes every text in a field of others through `redact`."""

    def emit_redacted(event: str, /, **fields: object) -> None:
        for name, value in fields.items():
            if isinstance(value, str) and name not in OURS:
                fields[name] = redact(value)
        emit(event, **fields)

    return emit_redacted
