"""Delays made uneven, so that what failed together does not try again together."""

import random
from typing import Protocol

JITTER = 0.2
"""The share by which a delay is lengthened or shortened at random."""


class Random(Protocol):
    """Where jitter comes from; tests pass their own."""

    def uniform(self, a: float, b: float, /) -> float:
        """Return a number between `a` and `b`."""


def jittered(delay: int, dice: Random = random) -> int:
    """Lengthen or shorten `delay` by up to 20 %. The unit is the caller's."""
    return max(0, round(delay * dice.uniform(1 - JITTER, 1 + JITTER)))
