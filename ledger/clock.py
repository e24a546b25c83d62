"""The clock. Functions take `now`, objects take a `Clock`."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""The time in milliseconds since the epoch, UTC, where nothing else is said."""


def wall_clock() -> int:
    """Return the time now, in milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000


def monotonic_clock() -> int:
    """Return milliseconds since some moment: for ages, which may not depend on a time of day that is put right."""
    return time.monotonic_ns() // 1_000_000
