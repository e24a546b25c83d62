"""When to submit or poll again: pure functions of the number of tries and the job's age. Results are milliseconds."""

import random

from work.jitter import Random, jittered

SUBMIT_DELAYS = (1_000, 2_000, 5_000, 10_000, 20_000, 40_000, 60_000)
"""After the first, second ... submission that the provider did not take. The last repeats."""

LONGEST_RETRY_AFTER = 3_600_000
"""A longer `Retry-After` is cut to an hour."""

AGE_SHARE = 4
"""A job of age t whose callback is expected is polled again after t/4, so that older jobs are polled less often."""

LONGEST_BETWEEN_POLLS = 240_000
"""fal retries the callback of a large result for about six minutes: a lost callback is noticed within four."""


def next_submit(tries: int, retry_after: float | None, rng: Random = random) -> int:
    """Return the delay before the next submission, after `tries` earlier ones. `retry_after` (seconds) is a minimum."""
    delay = jittered(SUBMIT_DELAYS[min(tries, len(SUBMIT_DELAYS) - 1)], rng)
    return max(delay, _minimum(retry_after))


def next_poll(base: int, age: int, retry_after: float | None, *, stretch: bool, rng: Random = random) -> int:
    """Return the delay before the next poll of a job of `age`, normally `base`. `retry_after` (seconds) is a minimum.

    With `stretch` the delay grows with the age up to four minutes: for jobs whose callback is expected.
    """
    longest = max(base, LONGEST_BETWEEN_POLLS)
    delay = min(max(base, age // AGE_SHARE), longest) if stretch else base
    return max(jittered(delay, rng), _minimum(retry_after))


def _minimum(retry_after: float | None) -> int:
    return round(min(retry_after * 1000, LONGEST_RETRY_AFTER)) if retry_after and retry_after > 0 else 0
