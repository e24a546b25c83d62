"""Removes secrets from the fields of events, before they are logged and counted."""

from collections.abc import Callable

from telemetry.emit import Emit


def redacted(emit: Emit, redact: Callable[[str], str]) -> Emit:
    """Return an `Emit` that passes every text in a field through `redact`."""

    def emit_redacted(event: str, /, **fields: object) -> None:
        shown = {name: redact(value) if isinstance(value, str) else value for name, value in fields.items()}
        emit(event, **shown)

    return emit_redacted
