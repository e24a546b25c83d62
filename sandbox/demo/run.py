"""Five jobs through a real receiver, against simulated providers, on loopback.

The demo starts three processes: the sandbox, the receiver, and a consumer of its notifications. It then reads what the
receiver recorded from the database and compares it with `sandbox.demo.plan`.
"""

import base64
import secrets
import signal
import sqlite3
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import httpx

from sandbox.demo.plan import PLAN, RecordedJob, TrackedJob, differences
from sandbox.demo.processes import Children, DemoError, free_port
from sandbox.demo.screen import Screen

SETTLE_SECONDS = 14.0
RENDER_SECONDS = 1.0
POLL_SECONDS = 0.1

JOBS = "SELECT id, state, source FROM jobs ORDER BY created_at, id"
OUTPUTS = "SELECT job_id, url, content_type, file_size FROM outputs ORDER BY job_id, position"
RECEIPTS = "SELECT job_id, source, result, count(*) FROM receipts GROUP BY job_id, source, result"
DELIVERIES = """
    SELECT deliveries.subject, events.type, deliveries.state, count(attempts.number)
    FROM deliveries
    JOIN events ON events.subject = deliveries.subject AND events.sequence = deliveries.sequence
    LEFT JOIN attempts ON attempts.delivery_id = deliveries.id
    GROUP BY deliveries.id
    ORDER BY deliveries.subject, deliveries.sequence
"""


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """The URLs of the three processes, the receiver's API key, and its database."""

    sandbox: str
    receiver: str
    consumer: str
    api_key: str
    database: Path


@click.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="For the database and the logs. Default: a new folder.",
)
def main(folder: Path | None) -> None:
    """Run five jobs against simulated providers, without keys or network, and compare what was recorded."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = folder or Path(tempfile.mkdtemp(prefix="renderhook-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    summary = None
    with Children(folder) as children:
        try:
            faults, summary = run_plan(start_processes(children, folder))
        except (DemoError, httpx.HTTPError, sqlite3.Error) as error:
            faults = [f"{type(error).__name__}: {error}"]
        except KeyboardInterrupt:
            faults = ["interrupted"]
        if faults:
            click.echo(children.tails(), err=True)
    click.echo(f"database and logs: {folder}")
    for fault in faults:
        click.echo(f"demo: {fault}", err=True)
    if summary:
        click.echo(summary)
    sys.exit(1 if faults else 0)


def start_processes(children: Children, folder: Path) -> Addresses:
    """Start the sandbox, the consumer and the receiver, and wait until each is ready."""
    notify_secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    children.start("sandbox", "sandbox", "--port", "0", "--render-seconds", str(RENDER_SECONDS))
    children.start("consumer", "sandbox.demo.consumer", "--port", "0", "--secret", notify_secret)
    port = free_port()
    addresses = Addresses(
        sandbox=children.announced_url("sandbox"),
        consumer=children.announced_url("consumer"),
        receiver=f"http://127.0.0.1:{port}",
        api_key=secrets.token_urlsafe(32),
        database=folder.resolve() / "renderhook.db",
    )
    children.start("receiver", "receiver", settings=settings(addresses, port, notify_secret))
    children.wait_ready("receiver", f"{addresses.receiver}/readyz")
    return addresses


def settings(addresses: Addresses, port: int, notify_secret: str) -> dict[str, str]:
    """Return the receiver's environment."""
    return {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_URL": addresses.receiver,
        "DATABASE_URL": f"sqlite:///{addresses.database}",
        "SECRET_KEY": secrets.token_urlsafe(32),
        "API_KEY": addresses.api_key,
        "FAL_KEY": "sandbox:key",
        "FAL_QUEUE_URL": f"{addresses.sandbox}/fal",
        "FAL_JWKS_URL": f"{addresses.sandbox}/fal/.well-known/jwks.json",
        "FAL_WEBHOOK_USER_ID": "sandbox-user",
        "FAL_RECONCILE_SECONDS": "2",
        "HEYGEN_API_KEY": "sandbox-key",
        "HEYGEN_API_URL": f"{addresses.sandbox}/heygen",
        "HEYGEN_POLL_SECONDS": "0.5",
        "NOTIFY_URL": f"{addresses.consumer}/hooks",
        "NOTIFY_SECRET": notify_secret,
        "ALLOW_PRIVATE_TARGETS": "127.0.0.1",
    }


def run_plan(addresses: Addresses) -> tuple[list[str], str]:
    """Run every job of the plan and print what was recorded.

    Returns a message for each difference from the plan, and a summary line.
    """
    screen = Screen()
    with httpx.Client(timeout=5, trust_env=False, headers={"Authorization": f"Bearer {addresses.api_key}"}) as http:
        jobs = submit(addresses, http)
        with screen:
            follow(addresses, http, jobs, screen)
        verified = sum(each["verified"] for each in _get(http, f"{addresses.consumer}/received"))
    database = read_database(addresses.database)
    faults = [fault for each in jobs for fault in differences(each, database.get(each.job["id"]))]
    faults += [fault for each in jobs for fault in download(each)]
    screen.report(jobs, database)
    count = [recorded.state for recorded in database.values()].count
    outputs = sum(len(recorded.outputs) for recorded in database.values())
    return faults, (
        f"demo: {len(database)} jobs, {count('completed')} completed, {count('failed')} failed, "
        f"{outputs} outputs recorded, {verified} notifications verified"
    )


def submit(addresses: Addresses, http: httpx.Client) -> list[TrackedJob]:
    """Submit every job of the plan. Raises DemoError if one is refused."""
    jobs = []
    for plan in PLAN:
        body = {"provider": plan.provider, "model": plan.model, "input": plan.input}
        response = http.post(f"{addresses.receiver}/v1/jobs", json=body)
        if response.status_code != 202:
            raise DemoError(f"{plan.name}: POST /v1/jobs answered {response.status_code}: {response.text[:300]}")
        jobs.append(TrackedJob(plan=plan, job=response.json()))
    return jobs


def follow(addresses: Addresses, http: httpx.Client, jobs: Sequence[TrackedJob], screen: Screen) -> None:
    """Poll until every job is settled and its deliveries are recorded, or SETTLE_SECONDS have passed."""
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        poll(addresses, http, jobs)
        screen.show(jobs)
        # The consumer verifies a notification shortly before its delivery is recorded.
        if all(each.settled for each in jobs) and not _pending(addresses.database):
            return
        time.sleep(POLL_SECONDS)


def poll(addresses: Addresses, http: httpx.Client, jobs: Sequence[TrackedJob]) -> None:
    """Update each job from the receiver, the consumer and the sandbox."""
    received = _get(http, f"{addresses.consumer}/received")
    submissions = {each["id"]: each for each in _get(http, f"{addresses.sandbox}/sandbox/submissions")}
    for each in jobs:
        if not each.ended:
            each.job = _get(http, f"{addresses.receiver}/v1/jobs/{each.job['id']}")
        each.notified = {it["type"] for it in received if it["verified"] and it["job_id"] == each.job["id"]}
        callbacks = submissions.get(each.job["provider_request_id"], {}).get("callbacks", [])
        each.acknowledged = sum(200 <= (it["status"] or 0) < 300 for it in callbacks)


def read_database(path: Path) -> dict[str, RecordedJob]:
    """Return what is recorded of each job, by job id. The database is opened read-only."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
        jobs = {job: RecordedJob(state=state, source=source) for job, state, source in connection.execute(JOBS)}
        for job, url, content_type, size in connection.execute(OUTPUTS):
            jobs[job].outputs.append((url, content_type, size))
        for job, source, result, count in connection.execute(RECEIPTS):
            if job in jobs:
                jobs[job].receipts[source, result] = count
        for job, event, state, attempts in connection.execute(DELIVERIES):
            jobs[job].deliveries.append((event, state, attempts))
    return jobs


def download(tracked: TrackedJob) -> list[str]:
    """Download each output of a job and return a message for each difference from what was recorded."""
    faults = []
    for output in tracked.job.get("outputs") or []:
        response = httpx.get(output["url"], timeout=5, trust_env=False)
        size = len(response.content)
        if response.status_code != 200 or not size:
            faults.append(f"answered {response.status_code} with {size} bytes: {output['url']}")
        for name, found in (("content_type", response.headers.get("content-type")), ("file_size", size)):
            if output.get(name) not in {None, found}:
                faults.append(f"{name} is {found!r}, recorded {output[name]!r}: {output['url']}")
    return [f"{tracked.plan.name}: output {fault}" for fault in faults]


def _pending(path: Path) -> bool:
    return any(state == "pending" for it in read_database(path).values() for _, state, _ in it.deliveries)


def _get(http: httpx.Client, url: str) -> Any:
    return http.get(url).raise_for_status().json()
