"""A primary with a synchronous standby dies under load: nothing acknowledged is lost, and nobody is restarted."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger.errors import Unanswered
from ledger.postgres.store import open_postgres
from ledger.requests import NewJob
from ledger.transitions import jobs, submissions
from tests.chaos.callers import Answered, Callers
from tests.conftest import PROVIDERS
from tests.postgres.servers import PostgresServer
from tests.postgres.standbys import Standby, replicated, url_of_both
from tests.process.children import until
from tests.process.errands import Errand
from tests.process.house import Neighbours
from tests.process.postgres_house import PostgresHouse
from tests.process.prepared import prepare

RATE = 120.0
STEADY_SECONDS, AWAY_SECONDS = 5.0, 3.0
MOST_SECONDS = 2.0
UNPAID_SECONDS = 10.0
CANCEL_WAITS = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
# A task whose fetch was committed and not answered is put back when no handler can be at it any more: after the longest
# lease, which is made of these (21 s), and 10 s.
SETTINGS = {"PROVIDER_TIMEOUT_SECONDS": "3", "NOTIFY_TIMEOUT_SECONDS": "3"}
PUT_BACK_SECONDS = 45.0
FOLLOWING = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
Pair = tuple[PostgresServer, Standby]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with replicated(fsync=False) as both:
        yield both


@pytest.fixture
def houses(tmp_path: Path, pair: Pair) -> Iterator[list[PostgresHouse]]:
    """Two receivers that work too, not started."""
    primary, standby = pair
    primary.create_database("ledger")
    neighbours = Neighbours(tmp_path)
    first = PostgresHouse(tmp_path, neighbours, url_of_both(primary, standby, "ledger"), **SETTINGS)
    both = [first, first.beside("other")]
    try:
        yield both
    finally:
        for house in both:
            house.close()
        neighbours.close()


async def started(houses: list[PostgresHouse], jobs: int) -> Callers:
    """Prepare so many jobs, start both receivers, and give those who will call them."""
    prepared = await prepare(houses[0].settings["DATABASE_URL"], jobs)
    for house in houses:
        await asyncio.to_thread(house.start)
    return Callers(houses, prepared)


async def test_a_primary_killed_under_load_loses_nothing_acknowledged(
    pair: Pair, houses: list[PostgresHouse], capsys: pytest.CaptureFixture[str]
) -> None:
    primary, standby = pair
    callers = await started(houses, 3500)
    enough = asyncio.Event()
    calling = asyncio.create_task(callers.call(RATE, enough))
    await asyncio.sleep(STEADY_SECONDS)  # load before, as after
    await asyncio.to_thread(primary.kill)
    killed = time.monotonic()
    await asyncio.sleep(AWAY_SECONDS)  # as long as somebody needs who decides to promote
    promoting = time.monotonic()
    await asyncio.to_thread(standby.promote)
    promoted = time.monotonic()
    await asyncio.to_thread(until, "a callback is acknowledged", lambda: first_good(callers, promoting))
    await asyncio.sleep(STEADY_SECONDS)
    enough.set()
    await asyncio.wait_for(calling, 30)
    meanwhile = callers.begun_between(killed, promoting)
    report = measured(callers.answers) | {
        "answers while away": len(meanwhile),
        "promotion took": promoted - promoting,
        "first 200 after promotion began": first_good(callers, promoting) - promoting,
    }
    show(capsys, "failover", report)
    assert {each.status for each in meanwhile} == {503}
    judge(houses, callers)


async def test_what_a_standby_does_not_have_is_never_acknowledged(
    pair: Pair, houses: list[PostgresHouse], capsys: pytest.CaptureFixture[str]
) -> None:
    primary, standby = pair
    callers = await started(houses, 1500)
    enough = asyncio.Event()
    calling = asyncio.create_task(callers.call(RATE / 3, enough))
    await asyncio.sleep(1.0)  # load before
    frozen = await frozen_for(pair, AWAY_SECONDS)
    standby.thaw()
    thawed = time.monotonic()
    await asyncio.to_thread(until, "a callback is acknowledged", lambda: first_good(callers, thawed))
    recovered = first_good(callers, thawed) - thawed
    await asyncio.sleep(1.0)  # load between
    again = await frozen_for(pair, AWAY_SECONDS)
    standby.kill()  # and with it what was sent to it and not read
    await asyncio.to_thread(primary.kill)
    await asyncio.to_thread(standby.start)
    await asyncio.to_thread(standby.promote)
    promoted = time.monotonic()
    await asyncio.to_thread(until, "a callback is acknowledged", lambda: first_good(callers, promoted))
    enough.set()
    await asyncio.wait_for(calling, 30)
    meanwhile = [each for span in (frozen, again) for each in callers.begun_between(*span)]
    report = measured(callers.answers) | {"answers while frozen": len(meanwhile), "first 200 after thawing": recovered}
    show(capsys, "frozen standby", report)
    assert {each.status for each in meanwhile} == {503}
    judge(houses, callers)


async def test_what_a_standby_does_not_have_is_not_paid_for(pair: Pair, houses: list[PostgresHouse]) -> None:
    """A job or a claim that a failover takes back would be submitted once more."""
    primary, standby = pair
    house, other = houses
    other.settings |= {"WORKERS": "0"}
    for each in houses:
        await asyncio.to_thread(each.start)
    errand, later = Errand(), Errand()
    standby.kill()  # not frozen: what was sent to it, and not read, is lost with it
    # On the other receiver, too: a repeated key only reads, and must not be told what may be taken back.
    asked = [await asyncio.to_thread(status_of, at, errand) for at in (house, other, house)]
    assert asked == [503] * 3
    await asyncio.sleep(UNPAID_SECONDS)  # what must not happen has this long to happen
    assert house.neighbours.submissions(errand) == []
    await asyncio.to_thread(primary.kill)
    await asyncio.to_thread(standby.start)
    await asyncio.to_thread(standby.promote)
    assert house.rows("SELECT id FROM jobs") == []
    await asyncio.to_thread(until, "it serves", lambda: status_of(house, later) == 202)
    job_id = await asyncio.to_thread(house.ask, errand)
    await asyncio.to_thread(house.wait_settled, 15)
    assert house.job(str(job_id))["state"] == "completed"
    assert [len(house.neighbours.submissions(each)) for each in (errand, later)] == [1, 1]


async def test_a_claim_that_the_standby_does_not_have_is_not_had_by_asking_again(pair: Pair) -> None:
    """Who asks again finds that there is nothing to write: that must not look as if it were replicated."""
    primary, standby = pair
    primary.create_database("claims")
    now = time.time_ns() // 1_000_000
    store = await open_postgres(
        url_of_both(primary, standby, "claims"), now=now, connections=3, seconds=0.7, providers=PROVIDERS
    )
    try:
        accepted = await store.write(jobs.accept(NewJob(provider="fal", model="a/model", input="{}"), now=now))
        standby.kill()
        claiming = submissions.claim(accepted.job_id, now=now, until=now + 60_000)
        for _ in range(3):
            with pytest.raises(Unanswered):
                await store.write(claiming)
        await asyncio.to_thread(standby.start)
        until("commits wait for the standby", lambda: primary.ask(FOLLOWING))
        assert (await store.write(claiming)).claim
    finally:
        await store.close()


async def frozen_for(pair: Pair, seconds: float) -> tuple[float, float]:
    """Freeze the standby while somebody cancels what waits for it, which commits it all the same.

    Tells from when to when nothing could be replicated; it stays frozen.
    """
    primary, standby = pair
    standby.freeze()
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        await asyncio.to_thread(primary.ask, CANCEL_WAITS)
        await asyncio.sleep(0.2)  # the outage lasts as long as the test says
    return began, time.monotonic()


def status_of(house: PostgresHouse, errand: Errand) -> int:
    headers = {"Idempotency-Key": errand.mark}
    return house.call("POST", "/v1/jobs", json=errand.body, headers=headers).status_code


def first_good(callers: Callers, since: float) -> float:
    """When the first 200 came of what was asked since then; 0 when none has."""
    good = (each.at + each.seconds for each in callers.answers if each.status == 200 and each.at >= since)
    return min(good, default=0.0)


def measured(answers: list[Answered]) -> dict[str, object]:
    return {
        "statuses": dict(Counter(each.status for each in answers)),
        "longest answer": max(each.seconds for each in answers),
    }


def show(capsys: pytest.CaptureFixture[str], what: str, report: dict[str, object]) -> None:
    words = (f"{name}: {round(value, 2) if isinstance(value, float) else value}" for name, value in report.items())
    with capsys.disabled():
        print(f"\n{what}:", ", ".join(words))  # noqa: T201 - the figures are what such a run is for


def judge(houses: list[PostgresHouse], callers: Callers) -> None:
    """Hold what was acknowledged against what the new primary has."""
    house = houses[0]
    assert {each.status for each in callers.answers} == {200, 503}
    assert max(each.seconds for each in callers.answers) < MOST_SECONDS
    recorded = {row["job_id"] for row in house.rows("SELECT job_id FROM receipts WHERE result = 'recorded'")}
    completed = "SELECT o.job_id FROM jobs AS j JOIN outputs AS o ON o.job_id = j.id WHERE j.state = 'completed'"
    assert callers.acknowledged() - recorded == set()
    assert {row["job_id"] for row in house.rows(completed)} == recorded
    until(
        "everybody is told",
        lambda: not house.rows("SELECT id FROM deliveries WHERE state <> 'delivered'"),
        PUT_BACK_SECONDS,
    )
    told = Counter(each["webhook_id"] for each in house.neighbours.received() if each["type"] == "job.completed")
    assert told.keys() == {row["id"] for row in house.rows("SELECT id FROM deliveries WHERE sequence = 3")}
    assert all(each.receiver and each.receiver.code() is None for each in houses)
    assert not any("Traceback" in each.receiver.said for each in houses if each.receiver)
