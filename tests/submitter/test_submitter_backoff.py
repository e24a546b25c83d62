"""Delays between tries and polls: bounds that hold for every number."""

import random

from hypothesis import given
from hypothesis import strategies as st

from submitter.backoff import (
    LONGEST_BETWEEN_POLLS,
    LONGEST_RETRY_AFTER,
    SUBMIT_DELAYS,
    next_poll,
    next_submit,
)
from work.jitter import JITTER, jittered

DELAY = st.integers(min_value=0, max_value=10**9)
AGE = st.integers(min_value=-(10**9), max_value=10**12)  # clocks are set back
RETRY = st.none() | st.floats(min_value=-10, max_value=1e12) | st.floats(allow_nan=False)
RNG = st.randoms(use_true_random=False)
SLACK = 1  # rounding


class Steady:
    """Always the middle of the range."""

    def uniform(self, a: float, b: float, /) -> float:
        return (a + b) / 2


@given(DELAY, RNG)
def test_jitter_is_at_most_its_share(delay: int, rng: random.Random) -> None:
    assert (1 - JITTER) * delay - SLACK <= jittered(delay, rng) <= (1 + JITTER) * delay + SLACK


def test_jitter_spreads_over_its_whole_share() -> None:
    seen = [jittered(10_000) for _ in range(1000)]
    assert min(seen) < 8_400
    assert max(seen) > 11_600


@given(st.integers(min_value=0, max_value=10**9), RETRY, RNG)
def test_the_delay_of_a_submission_is_within_bounds(tries: int, retry_after: float | None, rng: random.Random) -> None:
    delay = next_submit(tries, retry_after, rng)
    assert (1 - JITTER) * SUBMIT_DELAYS[0] - SLACK <= delay
    assert delay <= max(LONGEST_RETRY_AFTER, (1 + JITTER) * SUBMIT_DELAYS[-1] + SLACK)
    if retry_after is not None and 0 < retry_after <= 3600:
        assert delay >= round(retry_after * 1000)


@given(st.integers(min_value=0, max_value=100))
def test_without_jitter_the_delay_of_a_submission_never_shrinks(tries: int) -> None:
    assert next_submit(tries, None, Steady()) <= next_submit(tries + 1, None, Steady())


@given(DELAY, AGE, RETRY, RNG, st.booleans())
def test_the_delay_of_a_poll_is_within_bounds(
    base: int, age: int, retry_after: float | None, rng: random.Random, stretch: bool
) -> None:
    delay = next_poll(base, age, retry_after, stretch=stretch, rng=rng)
    assert delay >= (1 - JITTER) * base - SLACK
    longest = max(base, LONGEST_BETWEEN_POLLS) if stretch else base
    assert delay <= max((1 + JITTER) * longest + SLACK, LONGEST_RETRY_AFTER)
    if retry_after is None:
        assert delay <= (1 + JITTER) * longest + SLACK
    elif 0 < retry_after <= 3600:
        assert delay >= round(retry_after * 1000)


@given(DELAY, AGE, AGE)
def test_an_older_job_is_never_polled_more_often(base: int, one: int, other: int) -> None:
    younger, older = sorted((one, other))
    delays = [next_poll(base, age, None, stretch=True, rng=Steady()) for age in (younger, older)]
    assert delays == sorted(delays)
