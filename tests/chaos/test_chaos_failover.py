"""A primary with a synchronous standby is killed under load: nothing acknowledged is lost, no process is restarted."""

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
from tests.chaos.callback_sender import CallbackResponse, CallbackSender
from tests.conftest import PROVIDERS
from tests.postgres.servers import PostgresServer
from tests.postgres.standbys import Standby, replicated, url_of_both
from tests.process.children import until
from tests.process.deployment import Services
from tests.process.job_requests import JobRequest
from tests.process.postgres_deployment import PostgresDeployment
from tests.process.submitted_jobs import create_submitted_jobs

RATE = 120.0
STEADY_SECONDS, AWAY_SECONDS = 5.0, 3.0
MOST_SECONDS = 2.0
UNPAID_SECONDS = 10.0
CANCEL_WAITS = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
# A task whose fetch was committed and not answered is due again when no handler can hold it: after the longest lease,
# which is made of these (21 s), and 10 s.
SETTINGS = {"PROVIDER_TIMEOUT_SECONDS": "3", "NOTIFY_TIMEOUT_SECONDS": "3"}
RETURNED_SECONDS = 45.0
FOLLOWING = "SELECT 1 FROM pg_stat_replication WHERE state = 'streaming'"
Pair = tuple[PostgresServer, Standby]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]


@pytest.fixture
def pair() -> Iterator[Pair]:
    with replicated(fsync=False) as both:
        yield both


@pytest.fixture
def deployments(tmp_path: Path, pair: Pair) -> Iterator[list[PostgresDeployment]]:
    """Two receivers with workers, not started."""
    primary, standby = pair
    primary.create_database("ledger")
    services = Services(tmp_path)
    first = PostgresDeployment(tmp_path, services, url_of_both(primary, standby, "ledger"), **SETTINGS)
    both = [first, first.beside("other")]
    try:
        yield both
    finally:
        for deployment in both:
            deployment.close()
        services.close()


async def started(deployments: list[PostgresDeployment], jobs: int) -> CallbackSender:
    """Submit `jobs` jobs, start both receivers, and return a sender of the callbacks."""
    submitted = await create_submitted_jobs(deployments[0].settings["DATABASE_URL"], jobs)
    for deployment in deployments:
        await asyncio.to_thread(deployment.start)
    return CallbackSender(deployments, submitted)


async def test_a_primary_killed_under_load_loses_nothing_acknowledged(
    pair: Pair, deployments: list[PostgresDeployment], capsys: pytest.CaptureFixture[str]
) -> None:
    primary, standby = pair
    sender = await started(deployments, 3500)
    enough = asyncio.Event()
    calling = asyncio.create_task(sender.call(RATE, enough))
    await asyncio.sleep(STEADY_SECONDS)  # load before, as after
    await asyncio.to_thread(primary.kill)
    killed = time.monotonic()
    await asyncio.sleep(AWAY_SECONDS)  # until an operator promotes the standby
    promoting = time.monotonic()
    await asyncio.to_thread(standby.promote)
    promoted = time.monotonic()
    await asyncio.to_thread(until, "a callback is acknowledged", lambda: first_good(sender, promoting))
    await asyncio.sleep(STEADY_SECONDS)
    enough.set()
    await asyncio.wait_for(calling, 30)
    meanwhile = sender.begun_between(killed, promoting)
    report = measured(sender.answers) | {
        "answers while away": len(meanwhile),
        "promotion took": promoted - promoting,
        "first 200 after promotion began": first_good(sender, promoting) - promoting,
    }
    show(capsys, "failover", report)
    assert {each.status for each in meanwhile} == {503}
    check_outcomes(deployments, sender)


async def test_a_commit_without_the_standby_is_never_acknowledged(
    pair: Pair, deployments: list[PostgresDeployment], capsys: pytest.CaptureFixture[str]
) -> None:
    primary, standby = pair
    sender = await started(deployments, 1500)
    enough = asyncio.Event()
    calling = asyncio.create_task(sender.call(RATE / 3, enough))
    await asyncio.sleep(1.0)  # load before
    suspended = await suspended_for(pair, AWAY_SECONDS)
    standby.resume()
    resumed = time.monotonic()
    await asyncio.to_thread(until, "a callback is acknowledged", lambda: first_good(sender, resumed))
    recovered = first_good(sender, resumed) - resumed
    await asyncio.sleep(1.0)  # load between
    again = await suspended_for(pair, AWAY_SECONDS)
    standby.kill()  # and with it what was sent to it and not read
    await asyncio.to_thread(primary.kill)
    await asyncio.to_thread(standby.start)
    await asyncio.to_thread(standby.promote)
    promoted = time.monotonic()
    await asyncio.to_thread(until, "a callback is acknowledged", lambda: first_good(sender, promoted))
    enough.set()
    await asyncio.wait_for(calling, 30)
    meanwhile = [each for span in (suspended, again) for each in sender.begun_between(*span)]
    report = measured(sender.answers) | {
        "answers while suspended": len(meanwhile),
        "first 200 after resuming": recovered,
    }
    show(capsys, "suspended standby", report)
    assert {each.status for each in meanwhile} == {503}
    check_outcomes(deployments, sender)


async def test_a_job_without_the_standby_is_not_submitted(pair: Pair, deployments: list[PostgresDeployment]) -> None:
    """A job or a claim that a failover takes back would be submitted once more."""
    primary, standby = pair
    deployment, other = deployments
    other.settings |= {"WORKERS": "0"}
    for each in deployments:
        await asyncio.to_thread(each.start)
    job_request, later = JobRequest(), JobRequest()
    standby.kill()  # not suspended: what was sent to it and not read is lost with it
    # On the other receiver too: a repeated key only reads, and must not return what a failover may take back.
    statuses = [await asyncio.to_thread(status_of, at, job_request) for at in (deployment, other, deployment)]
    assert statuses == [503] * 3
    await asyncio.sleep(UNPAID_SECONDS)  # what must not happen has this long to happen
    assert deployment.services.submissions(job_request) == []
    await asyncio.to_thread(primary.kill)
    await asyncio.to_thread(standby.start)
    await asyncio.to_thread(standby.promote)
    assert deployment.rows("SELECT id FROM jobs") == []
    await asyncio.to_thread(until, "it serves", lambda: status_of(deployment, later) == 202)
    job_id = await asyncio.to_thread(deployment.submit, job_request)
    await asyncio.to_thread(deployment.wait_settled, 15)
    assert deployment.job(str(job_id))["state"] == "completed"
    assert [len(deployment.services.submissions(each)) for each in (job_request, later)] == [1, 1]


async def test_a_claim_without_the_standby_fails_again_when_repeated(pair: Pair) -> None:
    """A repeated claim writes nothing, so its commit alone would not wait for the standby."""
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
        until("commits wait for the standby", lambda: primary.query(FOLLOWING))
        assert (await store.write(claiming)).claim
    finally:
        await store.close()


async def suspended_for(pair: Pair, seconds: float) -> tuple[float, float]:
    """Suspend the standby while an operator cancels what waits for it, which commits it all the same.

    Returns from when to when nothing could be replicated; the standby stays suspended.
    """
    primary, standby = pair
    standby.suspend()
    began = time.monotonic()
    while time.monotonic() < began + seconds:
        await asyncio.to_thread(primary.query, CANCEL_WAITS)
        await asyncio.sleep(0.2)  # the outage lasts as long as the test says
    return began, time.monotonic()


def status_of(deployment: PostgresDeployment, job_request: JobRequest) -> int:
    headers = {"Idempotency-Key": job_request.mark}
    return deployment.call("POST", "/v1/jobs", json=job_request.body, headers=headers).status_code


def first_good(sender: CallbackSender, since: float) -> float:
    """Return when the first 200 of requests sent since then came; 0 if none has."""
    good = (each.at + each.seconds for each in sender.answers if each.status == 200 and each.at >= since)
    return min(good, default=0.0)


def measured(answers: list[CallbackResponse]) -> dict[str, object]:
    return {
        "statuses": dict(Counter(each.status for each in answers)),
        "longest answer": max(each.seconds for each in answers),
    }


def show(capsys: pytest.CaptureFixture[str], what: str, report: dict[str, object]) -> None:
    words = (f"{name}: {round(value, 2) if isinstance(value, float) else value}" for name, value in report.items())
    with capsys.disabled():
        print(f"\n{what}:", ", ".join(words))  # noqa: T201 - the figures are what such a run is for


def check_outcomes(deployments: list[PostgresDeployment], sender: CallbackSender) -> None:
    """Compare what was acknowledged with what the new primary has."""
    deployment = deployments[0]
    assert {each.status for each in sender.answers} == {200, 503}
    assert max(each.seconds for each in sender.answers) < MOST_SECONDS
    recorded = {row["job_id"] for row in deployment.rows("SELECT job_id FROM receipts WHERE result = 'recorded'")}
    completed = "SELECT o.job_id FROM jobs AS j JOIN outputs AS o ON o.job_id = j.id WHERE j.state = 'completed'"
    assert sender.acknowledged() - recorded == set()
    assert {row["job_id"] for row in deployment.rows(completed)} == recorded
    until(
        "every delivery is delivered",
        lambda: not deployment.rows("SELECT id FROM deliveries WHERE state <> 'delivered'"),
        RETURNED_SECONDS,
    )
    delivered = Counter(
        each["webhook_id"] for each in deployment.services.received() if each["type"] == "job.completed"
    )
    assert delivered.keys() == {row["id"] for row in deployment.rows("SELECT id FROM deliveries WHERE sequence = 3")}
    assert all(each.receiver and each.receiver.code() is None for each in deployments)
    assert not any("Traceback" in each.receiver.output for each in deployments if each.receiver)
