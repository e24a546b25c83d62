"""`python -m sandbox.demo.run`: five jobs through a real receiver, against pretend providers, on loopback.

Three processes are started: the sandbox, the receiver, and a consumer that is told what came of the jobs. What the
receiver recorded is then read from its database and compared with what `sandbox.demo.plan` says must be there.
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

from sandbox.demo.plan import PLAN, Followed, Recorded, differences
from sandbox.demo.processes import Children, DemoError, free_port
from sandbox.demo.screen import Screen

SETTLE_SECONDS = 14.0
RENDER_SECONDS = 1.0
LOOK_SECONDS = 0.1

JOBS = "SELECT id, state, source FROM jobs ORDER BY created_at, id"
OUTPUTS = "SELECT job_id, url, content_type, file_size FROM outputs ORDER BY job_id, position"
RECEIPTS = "SELECT job_id, source, result, count(*) FROM receipts GROUP BY job_id, source, result"
DELIVERIES = """
    SELECT deliveries.job_id, events.type, deliveries.state, count(attempts.number)
    FROM deliveries
    JOIN events ON events.job_id = deliveries.job_id AND events.sequence = deliveries.sequence
    LEFT JOIN attempts ON attempts.delivery_id = deliveries.id
    GROUP BY deliveries.id
    ORDER BY deliveries.job_id, deliveries.sequence
"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Where the three processes are."""

    sandbox: str
    receiver: str
    consumer: str
    api_key: str
    database: Path


@click.command()
@click.option(
    "--folder", type=click.Path(path_type=Path, file_okay=False), help="For database and logs; a new one else."
)
def main(folder: Path | None) -> None:
    """Show real work done on loopback: no keys, no network."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = folder or Path(tempfile.mkdtemp(prefix="renderhook-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    summary = None
    with Children(folder) as children:
        try:
            wrong, summary = perform(set_up(children, folder))
        except (DemoError, httpx.HTTPError, sqlite3.Error) as error:
            wrong = [f"{type(error).__name__}: {error}"]
        except KeyboardInterrupt:
            wrong = ["interrupted"]
        if wrong:
            click.echo(children.tails(), err=True)
    click.echo(f"database and logs: {folder}")
    for sentence in wrong:
        click.echo(f"demo: {sentence}", err=True)
    if summary:
        click.echo(summary)
    sys.exit(1 if wrong else 0)


def set_up(children: Children, folder: Path) -> Stage:
    """Start the sandbox, the consumer and the receiver, and wait until each can work."""
    notify_secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
    children.start("sandbox", "sandbox", "--port", "0", "--render-seconds", str(RENDER_SECONDS))
    children.start("consumer", "sandbox.demo.consumer", "--port", "0", "--secret", notify_secret)
    port = free_port()
    stage = Stage(
        sandbox=children.announced_url("sandbox"),
        consumer=children.announced_url("consumer"),
        receiver=f"http://127.0.0.1:{port}",
        api_key=secrets.token_urlsafe(32),
        database=folder.resolve() / "renderhook.db",
    )
    children.start("receiver", "receiver", settings=settings(stage, port, notify_secret))
    children.wait_ready("receiver", f"{stage.receiver}/readyz")
    return stage


def settings(stage: Stage, port: int, notify_secret: str) -> dict[str, str]:
    """Write the receiver's environment."""
    return {
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PUBLIC_URL": stage.receiver,
        "DATABASE_URL": f"sqlite:///{stage.database}",
        "SECRET_KEY": secrets.token_urlsafe(32),
        "API_KEY": stage.api_key,
        "FAL_KEY": "sandbox:key",
        "FAL_QUEUE_URL": f"{stage.sandbox}/fal",
        "FAL_JWKS_URL": f"{stage.sandbox}/fal/.well-known/jwks.json",
        "FAL_WEBHOOK_USER_ID": "sandbox-user",
        "FAL_RECONCILE_SECONDS": "2",
        "HEYGEN_API_KEY": "sandbox-key",
        "HEYGEN_API_URL": f"{stage.sandbox}/heygen",
        "HEYGEN_POLL_SECONDS": "0.5",
        "NOTIFY_URL": f"{stage.consumer}/hooks",
        "NOTIFY_SECRET": notify_secret,
        "ALLOW_PRIVATE_TARGETS": "127.0.0.1",
    }


def perform(stage: Stage) -> tuple[list[str], str]:
    """Run every errand to its end and show what was recorded.

    Returns: what is not as planned, one sentence each, and the line that sums up.
    """
    screen = Screen()
    with httpx.Client(timeout=5, trust_env=False, headers={"Authorization": f"Bearer {stage.api_key}"}) as http:
        errands = submit(stage, http)
        with screen:
            follow(stage, http, errands, screen)
        verified = sum(each["verified"] for each in _get(http, f"{stage.consumer}/received"))
    ledger = read_ledger(stage.database)
    wrong = [sentence for each in errands for sentence in differences(each, ledger.get(each.job["id"]))]
    wrong += [sentence for each in errands for sentence in download(each)]
    screen.report(errands, ledger)
    count = [recorded.state for recorded in ledger.values()].count
    outputs = sum(len(recorded.outputs) for recorded in ledger.values())
    return wrong, (
        f"demo: {len(ledger)} jobs, {count('completed')} completed, {count('failed')} failed, "
        f"{outputs} outputs recorded, {verified} notifications verified"
    )


def submit(stage: Stage, http: httpx.Client) -> list[Followed]:
    """Submit every errand of the plan."""
    errands = []
    for errand in PLAN:
        body = {"provider": errand.provider, "model": errand.model, "input": errand.input}
        answer = http.post(f"{stage.receiver}/v1/jobs", json=body)
        if answer.status_code != 202:
            raise DemoError(f"{errand.name}: POST /v1/jobs answered {answer.status_code}: {answer.text[:300]}")
        errands.append(Followed(errand=errand, job=answer.json()))
    return errands


def follow(stage: Stage, http: httpx.Client, errands: Sequence[Followed], screen: Screen) -> None:
    """Look again and again until every errand is settled and recorded as delivered, or the time is over."""
    end = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < end:
        look(stage, http, errands)
        screen.show(errands)
        # A notification is verified a moment before its delivery is recorded.
        if all(each.settled for each in errands) and not _pending(stage.database):
            return
        time.sleep(LOOK_SECONDS)


def look(stage: Stage, http: httpx.Client, errands: Sequence[Followed]) -> None:
    """Ask the receiver, the consumer and the sandbox how far each errand is."""
    received = _get(http, f"{stage.consumer}/received")
    submissions = {each["id"]: each for each in _get(http, f"{stage.sandbox}/sandbox/submissions")}
    for each in errands:
        if not each.ended:
            each.job = _get(http, f"{stage.receiver}/v1/jobs/{each.job['id']}")
        each.notified = {it["type"] for it in received if it["verified"] and it["job_id"] == each.job["id"]}
        callbacks = submissions.get(each.job["provider_request_id"], {}).get("callbacks", [])
        each.acknowledged = sum(200 <= (it["status"] or 0) < 300 for it in callbacks)


def read_ledger(database: Path) -> dict[str, Recorded]:
    """Read what was recorded of each job, by job id, from a database that is opened read-only."""
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        ledger = {job: Recorded(state=state, source=source) for job, state, source in connection.execute(JOBS)}
        for job, *output in connection.execute(OUTPUTS):
            ledger[job].outputs.append((output[0], output[1], output[2]))
        for job, source, result, count in connection.execute(RECEIPTS):
            if job in ledger:
                ledger[job].receipts[source, result] = count
        for job, event, state, attempts in connection.execute(DELIVERIES):
            ledger[job].deliveries.append((event, state, attempts))
    return ledger


def download(followed: Followed) -> list[str]:
    """Fetch each output once, and say what is not as declared."""
    wrong = []
    for output in followed.job.get("outputs") or []:
        answer = httpx.get(output["url"], timeout=5, trust_env=False)
        size = len(answer.content)
        if answer.status_code != 200 or not size:
            wrong.append(f"answered {answer.status_code} with {size} bytes: {output['url']}")
        for name, found in (("content_type", answer.headers.get("content-type")), ("file_size", size)):
            if output.get(name) not in {None, found}:
                wrong.append(f"{name} is {found!r}, declared {output[name]!r}: {output['url']}")
    return [f"{followed.errand.name}: output {sentence}" for sentence in wrong]


def _pending(database: Path) -> bool:
    return any(state == "pending" for it in read_ledger(database).values() for _, state, _ in it.deliveries)


def _get(http: httpx.Client, url: str) -> Any:
    return http.get(url).raise_for_status().json()


if __name__ == "__main__":
    main()
