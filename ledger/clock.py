"""The clock. Functions take `now`, objects take a `Clock`."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""The time in milliseconds since the epoch, UTC."""


def wall_clock() -> int:
    """Return the time now, in milliseconds since the epoch, UTC."""
    return time.time_ns() // 1_000_000
