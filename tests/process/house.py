"""A house of processes: a receiver that tests kill and restart, a sandbox and a consumer that outlive it."""

import base64
import json
import secrets
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from nacl.signing import SigningKey

from tests.process.children import ROOT, Child, answers, python, quiet_port, until
from tests.process.errands import Errand
from tests.process.reading import read

TERMINAL = "('completed', 'failed', 'canceled', 'expired')"
TAIL_LINES = 60


class Neighbours:
    """The sandbox and the consumer: they know nothing of a receiver's death."""

    def __init__(self, folder: Path, *, sandbox: tuple[str, ...] = (), consumer: tuple[str, ...] = ()) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
        self.signing_key = SigningKey.generate()  # fal's, so that tests can call back too
        self.http = httpx.Client(timeout=10, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
        pace = ("--render-seconds", "0.3", "--retry-seconds", "0.1")
        words = {
            "sandbox": ("sandbox", "--port", "0", "--key-seed", bytes(self.signing_key).hex(), *pace, *sandbox),
            "consumer": ("sandbox.demo.consumer", "--port", "0", "--secret", self.secret, *consumer),
        }
        self.children = {name: Child(folder / f"{name}.log", python("-m", *words[name]), {}) for name in words}
        try:
            self.sandbox, self.consumer = (child.announced_url() for child in self.children.values())
        except BaseException:
            self.close()
            raise

    def submissions(self, errand: Errand) -> list[dict[str, Any]]:
        """What the sandbox took on, and would bill, for this errand."""
        taken = self.http.get(f"{self.sandbox}/sandbox/submissions").json()
        return [each for each in taken if errand.mark in json.dumps(each["input"])]

    def received(self, job_id: str | None = None) -> list[dict[str, Any]]:
        """What the consumer was told, each webhook-id once, of one job or of all."""
        received = self.http.get(f"{self.consumer}/received").json()
        return [each for each in received if job_id in {None, each["job_id"]}]

    def set_faults(self, faults: str) -> None:
        """Replace the faults that the sandbox shows to everybody."""
        self.http.post(f"{self.sandbox}/sandbox/faults", json={"faults": faults}).raise_for_status()

    def close(self) -> None:
        for child in self.children.values():
            child.kill()
        self.http.close()


class House:
    """One receiver after another on the same ledger, port and settings."""

    def __init__(self, folder: Path, neighbours: Neighbours, **settings: str) -> None:
        self.neighbours = neighbours
        self.folder = folder
        self.database = folder / "ledger" / "renderhook.db"
        self.url = f"http://127.0.0.1:{quiet_port()}"
        self.api_key = secrets.token_urlsafe(32)
        self.settings = self._settings() | settings
        self.receiver: Child | None = None
        self.reader: list[str] = []

    def _settings(self) -> dict[str, str]:
        sandbox, consumer = self.neighbours.sandbox, self.neighbours.consumer
        return {
            "HOST": "127.0.0.1",
            "PORT": self.url.rpartition(":")[2],
            "PUBLIC_URL": self.url,
            "DATABASE_URL": f"sqlite:///{self.database}",
            "SECRET_KEY": secrets.token_urlsafe(32),
            "API_KEY": self.api_key,
            "FAL_KEY": "sandbox:key",
            "FAL_QUEUE_URL": f"{sandbox}/fal",
            "FAL_JWKS_URL": f"{sandbox}/fal/.well-known/jwks.json",
            "FAL_WEBHOOK_USER_ID": "sandbox-user",
            "HEYGEN_API_KEY": "sandbox-key",
            "HEYGEN_API_URL": f"{sandbox}/heygen",
            "HEYGEN_POLL_SECONDS": "0.2",
            "NOTIFY_URL": f"{consumer}/hooks",
            "NOTIFY_SECRET": self.neighbours.secret,
            "ALLOW_PRIVATE_TARGETS": "127.0.0.1",
            "LOG_FORMAT": "json",
        }

    def launch(self, *command: str, **options: Any) -> Child:
        """Start a receiver and do not wait; `command` instead of `python -m receiver`."""
        words = list(command) or python("-m", "receiver")
        self.receiver = Child(self.folder / "receiver.log", words, self.settings, **options)
        return self.receiver

    def start(self, *command: str, **options: Any) -> Child:
        """Start a receiver, and wait until it can work."""
        child = self.launch(*command, **options)

        def ready() -> bool:
            assert child.code() is None, f"the receiver exited with {child.code()} while starting: {child.said}"
            return answers(self.neighbours.http, f"{self.url}/readyz")

        until("the receiver is ready", ready)
        return child

    def kill(self) -> None:
        """kill -9."""
        if self.receiver:
            self.receiver.kill()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask the receiver to stop, and return its exit code."""
        assert self.receiver
        self.receiver.tell(number)
        return self.receiver.ended()

    def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Ask the receiver, with its API key."""
        headers = {"Authorization": f"Bearer {self.api_key}"} | options.pop("headers", {})
        return self.neighbours.http.request(method, f"{self.url}{path}", headers=headers, **options)

    def ask(self, errand: Errand) -> str | None:
        """Ask for a job, under the errand's own Idempotency-Key: its id, or None when it has to be asked for again.

        That is when no answer came, or when a receiver that is still starting answered 503.
        """
        try:
            answer = self.call("POST", "/v1/jobs", json=errand.body, headers={"Idempotency-Key": errand.mark})
        except httpx.TransportError:
            return None
        if answer.status_code == 503 and "not open yet" in answer.text:
            assert answer.headers["retry-after"]
            return None
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job over HTTP."""
        answer = self.call("GET", f"/v1/jobs/{job_id}")
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def rows(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Read the ledger's file, and never write it."""
        if not self.reader:
            return read(self.database, statement, *values)
        asked = [*self.reader, statement, *map(str, values)]
        return list(json.loads(subprocess.run(asked, capture_output=True, check=True, cwd=ROOT, timeout=10).stdout))

    def wait_settled(self, seconds: float = 8.0) -> None:
        """Wait until every job has ended and no work is left."""
        open_jobs = f"SELECT id FROM jobs WHERE state NOT IN {TERMINAL} UNION ALL SELECT subject FROM work"
        until("every job has ended and no work is left", lambda: not self.rows(open_jobs), seconds)

    def telemetry(self, name: str, **fields: object) -> list[dict[str, Any]]:
        """Find what the receivers announced in their logs."""
        lines = (self.folder / "receiver.log").read_text(errors="replace").splitlines()
        telemetry = (json.loads(line) for line in lines if line.startswith("{"))
        return [fact for fact in telemetry if fact.get("event") == name and fields.items() <= fact.items()]

    def tails(self) -> str:
        """Quote the end of what everybody said."""
        parts = []
        for log in (self.folder / "receiver.log", *(child.log for child in self.neighbours.children.values())):
            lines = log.read_text(errors="replace").splitlines()[-TAIL_LINES:] if log.exists() else []
            parts.append("\n".join([f"--- the end of {log.name}", *lines]))
        return "\n".join(parts)

    def close(self) -> None:
        self.kill()
        print(self.tails())  # noqa: T201 - pytest shows it when the test has failed


@pytest.fixture(scope="session")
def neighbours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbours]:
    both = Neighbours(tmp_path_factory.mktemp("neighbours"))
    yield both
    both.close()


@pytest.fixture
def house(tmp_path: Path, neighbours: Neighbours) -> Iterator[House]:
    """A house whose receiver has not been started."""
    built = House(tmp_path, neighbours)
    yield built
    built.close()
