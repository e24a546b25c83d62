"""How the packages report events, without knowing where they are logged and counted."""

from typing import Protocol


class Emit(Protocol):
    """Report one event. Fields are identifiers, words and numbers, never secrets, headers or bodies."""

    def __call__(self, event: str, /, **fields: object) -> None:
        """Report `event`, a name in `telemetry.events.EVENTS`, with its fields."""
