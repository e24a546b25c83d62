"""When a delivery is attempted again."""

import random
from collections.abc import Sequence

from work.jitter import Random, jittered

SCHEDULE = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
"""Seconds before the first, second … tenth attempt: at once, 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h.

The schedule that Standard Webhooks recommends; the last attempt comes about 75.6 hours after the first.
https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

LONGEST_RETRY_AFTER = 86_400


def next_attempt(
    failures: int, retry_after: float | None, dice: Random = random, *, schedule: Sequence[int] = SCHEDULE
) -> int | None:
    """Return the delay in ms before the next attempt, or None if there is none.

    `retry_after` is the endpoint's, in seconds. It is the least delay, up to a day.
    """
    if failures >= len(schedule):
        return None
    delay = jittered(schedule[failures] * 1000, dice)
    floor = round(min(retry_after, LONGEST_RETRY_AFTER) * 1000) if retry_after and retry_after > 0 else 0
    return max(delay, floor)
