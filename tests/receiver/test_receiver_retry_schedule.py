"""The retry schedule of deliveries: ten attempts over three days, with jitter, and not before Retry-After."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from receiver.notifier.retry_schedule import LONGEST_RETRY_AFTER, SCHEDULE, next_attempt
from work.jitter import JITTER

no_deadline = settings(deadline=None)


class FixedRandom:
    """Returns a fixed share of each range."""

    def __init__(self, share: float) -> None:
        self._share = share

    def uniform(self, a: float, b: float, /) -> float:
        return a + (b - a) * self._share


MIDDLE = FixedRandom(0.5)


def test_the_schedule_is_that_of_standard_webhooks() -> None:
    assert SCHEDULE == (0, 5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
    assert sum(SCHEDULE) == 272_105  # 75.6 hours, as its docstring says
    assert round(sum(SCHEDULE) / 3600, 1) == 75.6


def test_without_jitter_the_delays_are_the_schedule() -> None:
    assert [next_attempt(failures, None, MIDDLE) for failures in range(10)] == [1000 * wait for wait in SCHEDULE]


@pytest.mark.parametrize("failures", [10, 11, 1000])
def test_after_ten_failures_there_is_no_next_attempt(failures: int) -> None:
    assert next_attempt(failures, None) is None
    assert next_attempt(failures, 60) is None


def test_jitter_is_at_most_a_fifth_either_way() -> None:
    assert (next_attempt(2, None, FixedRandom(0)), next_attempt(2, None, FixedRandom(1))) == (240_000, 360_000)


@no_deadline
@given(st.integers(0, 9), st.integers())
def test_every_delay_is_within_the_bounds_of_jitter(failures: int, seed: int) -> None:
    wait = next_attempt(failures, None, random.Random(seed))
    assert wait is not None
    assert SCHEDULE[failures] * 1000 * (1 - JITTER) <= wait <= SCHEDULE[failures] * 1000 * (1 + JITTER)


def test_deliveries_that_fail_together_are_retried_at_different_times() -> None:
    assert len({next_attempt(3, None) for _ in range(50)}) > 40


@pytest.mark.parametrize(
    ("retry_after", "delay"),
    [(None, 5), (0, 5), (-7, 5), (3, 5), (60, 60), (0.5, 5), (86_400, 86_400), (10**9, LONGEST_RETRY_AFTER)],
)
def test_retry_after_is_the_least_delay_up_to_a_day(retry_after: float | None, delay: float) -> None:
    assert next_attempt(1, retry_after, MIDDLE) == delay * 1000
