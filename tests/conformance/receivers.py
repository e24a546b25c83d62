"""Receivers as real processes on loopback, each with an SQLite file and the toy provider installed."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from providers.callback_tokens import CallbackTokens
from tests.conformance.subjects import Subject
from tests.process.children import Child, answers, free_port, python, until

API_KEY, SECRET_KEY = "an-api-key-of-the-conformance-suite", "a-secret-key-of-the-conformance-suite"
TERMINAL = frozenset({"completed", "failed", "canceled", "expired"})


class Receiver:
    """One receiver, which may be killed and started again on its port and its database."""

    def __init__(self, folder: Path, site: Path, settings: Mapping[str, str], *, public: bool) -> None:
        self._folder = folder
        self.url = f"http://127.0.0.1:{free_port()}"
        self._settings = {
            "PYTHONPATH": str(site),
            "HOST": "127.0.0.1",
            "PORT": self.url.rpartition(":")[2],
            "DATABASE_URL": f"sqlite:///{folder / 'receiver.db'}",
            "API_KEY": API_KEY,
            "SECRET_KEY": SECRET_KEY,
            "LOG_FORMAT": "json",
            **({"PUBLIC_URL": self.url} if public else {}),
            **settings,
        }
        self._http = httpx.Client(trust_env=False, headers={"Authorization": f"Bearer {API_KEY}"}, timeout=10)
        self._child: Child | None = None

    def start(self) -> None:
        child = Child(self._folder / "receiver.log", python("-m", "receiver"), self._settings)
        self._child = child

        def ready() -> bool:
            assert child.code() is None, child.output
            return answers(self._http, f"{self.url}/readyz")

        until("the receiver is ready", ready)

    def kill(self) -> None:
        if self._child:
            self._child.kill()

    def close(self) -> None:
        self.kill()
        self._http.close()

    def submit(self, subject: Subject, fields: Mapping[str, str]) -> str:
        body = {"provider": subject.name, "model": subject.model, "input": fields}
        response = self._http.post(f"{self.url}/v1/jobs", json=body)
        assert response.status_code == 202, response.text
        return str(response.json()["id"])

    def job(self, job_id: str) -> dict[str, Any]:
        return self._get(f"/v1/jobs/{job_id}")

    def receipts(self, job_id: str) -> list[dict[str, Any]]:
        receipts: list[dict[str, Any]] = self._get(f"/v1/jobs/{job_id}/receipts")["receipts"]
        return receipts

    def wait(self, job_id: str, what: str, condition: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def found() -> dict[str, Any] | None:
            job = self.job(job_id)
            return job if condition(job) else None

        return until(f"{job_id} {what}", found)

    def wait_submitted(self, job_id: str) -> dict[str, Any]:
        return self.wait(job_id, "is submitted", lambda job: job["provider_request_id"] is not None)

    def wait_ended(self, job_id: str) -> dict[str, Any]:
        return self.wait(job_id, "has ended", lambda job: job["state"] in TERMINAL)

    def call_back(
        self, provider: str, job_id: str, body: bytes, headers: Mapping[str, str], *, token: str | None = None
    ) -> httpx.Response:
        """Send a callback for a job as the provider does, without our API key."""
        token = token or CallbackTokens([SECRET_KEY]).sign(job_id)
        with httpx.Client(trust_env=False) as http:
            return http.post(f"{self.url}/callbacks/{provider}/{token}", content=body, headers=dict(headers))

    def refused_callbacks(self, provider: str, reason: str) -> float:
        name = f'renderhook_callback_refused_total{{provider="{provider}",reason="{reason}"}} '
        lines = self._http.get(f"{self.url}/metrics").text.splitlines()
        return sum(float(line.removeprefix(name)) for line in lines if line.startswith(name))

    def _get(self, path: str) -> dict[str, Any]:
        response = self._http.get(f"{self.url}{path}")
        assert response.status_code == 200, response.text
        return dict(response.json())


@contextmanager
def running(receiver: Receiver) -> Iterator[Receiver]:
    """Start a receiver, and kill it at the end."""
    try:
        receiver.start()
        yield receiver
    finally:
        receiver.close()
