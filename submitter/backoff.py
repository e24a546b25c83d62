"""When to ask again: pure functions of how often and how long. Results are milliseconds."""

import random

from work.jitter import Random, jittered

SUBMIT_DELAYS = (1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000)
"""After the first, second … submit that the provider did not take. The last repeats, about one a minute."""

LONGEST_RETRY_AFTER = 3_600_000
"""A provider may ask for an hour; more than that is not believed."""

OVERDUE_SHARE = 4
"""A job that has run for t is looked at again after t/4, so that long jobs are asked less often."""

LONGEST_BETWEEN_POLLS = 240_000
"""fal keeps a large result's retry window open for about six minutes: a lost callback is noticed within four."""


def next_submit(tries: int, retry_after: float | None, dice: Random = random) -> int:
    """Delay before the next submit, after `tries` earlier ones were not taken. `retry_after` (seconds) is a floor."""
    delay = jittered(SUBMIT_DELAYS[min(tries, len(SUBMIT_DELAYS) - 1)], dice)
    return max(delay, _floor(retry_after))


def next_poll(base: int, age: int, retry_after: float | None, *, stretch: bool, dice: Random = random) -> int:
    """Delay before the next look at a job that has run for `age`, normally `base`. `retry_after` (seconds) is a floor.

    With `stretch` the delay grows with the age up to four minutes: for jobs whose callback is expected anyway.
    """
    longest = max(base, LONGEST_BETWEEN_POLLS)
    delay = min(max(base, age // OVERDUE_SHARE), longest) if stretch else base
    return max(jittered(delay, dice), _floor(retry_after))


def _floor(retry_after: float | None) -> int:
    return round(min(retry_after * 1000, LONGEST_RETRY_AFTER)) if retry_after and retry_after > 0 else 0
