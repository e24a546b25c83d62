"""How often an event is logged at most. It is counted every time."""

from collections.abc import Callable, Hashable

import msgspec

MOST_KEYS = 1_000
"""Kinds of lines that are counted at once. What would be one more is not logged."""


class LineLimit(msgspec.Struct, frozen=True):
    """So many `lines` in so many `ms`, for each combination of values of the fields `by`."""

    lines: int
    ms: int
    by: tuple[str, ...] = ()


class _Window(msgspec.Struct):
    """The lines of one kind until `ends_at` (ms)."""

    ends_at: int
    logged: int = 0
    suppressed: int = 0


class LineLimits:
    """Counts lines. `clock` returns milliseconds."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._windows: dict[Hashable, _Window] = {}

    def admit(self, key: Hashable, limit: LineLimit) -> int | None:
        """Count a line. Returns how many were suppressed before it, or None if it is suppressed itself."""
        now = self._clock()
        window = self._windows.get(key)
        if window is None or now >= window.ends_at:
            if window is None and not self._has_room(now):
                return None
            suppressed = window.suppressed if window else 0
            self._windows[key] = _Window(now + limit.ms, logged=1)
            return suppressed
        if window.logged < limit.lines:
            window.logged += 1
            return 0
        window.suppressed += 1
        return None

    def _has_room(self, now: int) -> bool:
        if len(self._windows) >= MOST_KEYS:
            self._windows = {key: window for key, window in self._windows.items() if now < window.ends_at}
        return len(self._windows) < MOST_KEYS
