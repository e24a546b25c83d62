"""A clock that is set back: noticed by the monotonic clock, and what waits is due as soon as it was meant to be."""

import asyncio
from collections.abc import Callable

import pytest

from ledger.errors import Unavailable
from ledger.ledger import Ledger
from ledger.requests import Attempted
from tests.conftest import Clock
from tests.database import ON_BOTH_DATABASES, Database
from tests.outbound.loopback import until
from tests.submitter.harness import Harness
from work import sweeper
from work.clock import ClockWatch
from work.sweeper import Sweeper

HOUR = 3_600


class Watched(ClockWatch):
    """A watch whose monotonic clock does not move."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(wall=clock, monotonic=lambda: 0)


def test_a_clock_that_runs_is_not_set_back(clock: Clock) -> None:
    seconds = 0.0
    watch = ClockWatch(wall=clock, monotonic=lambda: round(seconds * 1000))
    for _ in range(100):
        seconds += 60
        clock.pass_seconds(60 - 0.005)  # adjusted slowly, as time services do
        assert watch.set_back() == 0


def test_a_step_back_is_reported_until_it_is_accepted(clock: Clock) -> None:
    watch = Watched(clock)
    clock.pass_seconds(-HOUR)
    assert [watch.set_back(), watch.set_back()] == [HOUR * 1000] * 2
    watch.accept()
    assert watch.set_back() == 0


@pytest.mark.parametrize("seconds", [-1, 1, HOUR])
def test_a_small_step_back_and_any_step_forward_are_not_reported(seconds: int, clock: Clock) -> None:
    watch = Watched(clock)
    clock.pass_seconds(seconds)
    assert watch.set_back() == 0


def test_a_clock_that_was_ahead_and_is_put_right_is_reported(clock: Clock) -> None:
    watch = Watched(clock)
    clock.pass_seconds(24 * HOUR)
    assert watch.set_back() == 0
    clock.pass_seconds(-24 * HOUR)
    assert watch.set_back() == 24 * HOUR * 1000


@pytest.fixture
def sweeping(harness: Harness) -> Sweeper:
    return Sweeper(Ledger(harness.store, harness.clock).queue, emit=harness.emitted, watch=Watched(harness.clock))


def due(database: Database) -> list[int]:
    return [row["due_at"] for row in database.query("SELECT due_at FROM work ORDER BY subject")]


@ON_BOTH_DATABASES
async def test_a_retry_in_five_seconds_is_due_in_five_seconds_after_the_clock_was_set_back(
    harness: Harness, database: Database, sweeping: Sweeper
) -> None:
    await harness.accept()
    database.query("UPDATE work SET due_at = ?", harness.clock.now + 5_000)
    harness.clock.pass_seconds(-HOUR)
    await sweeping.follow_clock()
    assert due(database) == [harness.clock.now + 5_000]
    assert harness.emitted == [("work.hastened", {"clock_set_back_ms": HOUR * 1000, "number": 1})]
    await sweeping.follow_clock()
    assert len(harness.emitted) == 1


@ON_BOTH_DATABASES
async def test_leases_that_are_renewed_are_left_alone_and_those_of_dead_workers_end(
    harness: Harness, database: Database, sweeping: Sweeper
) -> None:
    for _ in range(2):
        await harness.accept()
    queue = Ledger(harness.store, harness.clock).queue
    dead, alive = await queue.fetch("submit", lease_ms=20_000, limit=2)
    harness.clock.pass_seconds(-HOUR)
    await queue.renew([alive], lease_ms=20_000)
    await sweeping.follow_clock()
    assert due(database) == [harness.clock.now + 20_000] * 2
    assert {dead.subject, alive.subject} == {
        row["subject"] for row in database.query("SELECT subject FROM work WHERE lease IS NOT NULL")
    }


@ON_BOTH_DATABASES
async def test_a_delivery_keeps_its_schedule_after_the_clock_was_set_back(
    harness: Harness, database: Database, sweeping: Sweeper
) -> None:
    ledger = Ledger(harness.store, harness.clock)
    await ledger.put_settings_endpoint("https://consumer.example")
    job_id = await harness.submitted()
    [delivery] = database.query("SELECT id FROM deliveries WHERE subject = ?", job_id)
    attempted = Attempted(at=harness.clock.now, latency_ms=1, status=500, error=None, response=None)
    await ledger.retry_delivery(delivery["id"], attempted, due_at=harness.clock.now + 5_000)
    harness.clock.pass_seconds(-HOUR)
    await sweeping.follow_clock()
    [found] = database.query("SELECT due_at FROM deliveries WHERE id = ?", delivery["id"])
    assert found["due_at"] == harness.clock.now + 5_000


async def test_a_failure_of_the_database_is_emitted_and_it_is_tried_again(
    harness: Harness, database: Database, sweeping: Sweeper, monkeypatch: pytest.MonkeyPatch
) -> None:
    await harness.accept()
    database.query("UPDATE work SET due_at = ?", harness.clock.now + 5_000)
    write: Callable[..., object] = harness.store.write

    async def full(_: object) -> None:
        monkeypatch.setattr(harness.store, "write", write)
        raise Unavailable("the disk is full")

    monkeypatch.setattr(sweeper, "CLOCK_SECONDS", 0.001)
    stop = asyncio.Event()
    running = asyncio.ensure_future(sweeping.run(stop))
    await until(lambda: not harness.emitted)
    monkeypatch.setattr(harness.store, "write", full)
    harness.clock.pass_seconds(-HOUR)
    await until(lambda: bool(harness.emitted.named("work.hastened")))
    stop.set()
    await running
    assert harness.emitted.named("work.sweep_failed") == [{"error": "the disk is full"}]
    assert due(database) == [harness.clock.now + 5_000]


async def test_a_clock_that_is_behind_the_newest_job_at_the_start_was_set_back(
    harness: Harness, database: Database
) -> None:
    await harness.accept()
    database.query("UPDATE work SET due_at = ?", harness.clock.now + 5_000)
    harness.clock.pass_seconds(-HOUR)
    starting = Sweeper(Ledger(harness.store, harness.clock).queue, emit=harness.emitted, watch=Watched(harness.clock))
    stop = asyncio.Event()
    running = asyncio.ensure_future(starting.run(stop))
    await until(lambda: bool(harness.emitted.named("work.hastened")))
    stop.set()
    await running
    assert due(database) == [harness.clock.now + 5_000]
