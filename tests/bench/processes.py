"""The processes of a measurement: a server on one core, the others on another."""

import os
import secrets
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import httpx

from tests.bench.dataset import Dataset
from tests.process.children import Child, free_port, python, until

CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
PINNED = len(CORES) > 1 and shutil.which("taskset") is not None
NOTIFY_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
API_KEY = secrets.token_urlsafe(32)
TICKS = os.sysconf("SC_CLK_TCK")


def pinned(core: int, command: list[str]) -> list[str]:
    """Return the command pinned to one core, if there are two."""
    return ["taskset", "-c", str(core), *command] if PINNED else command


class EndpointProcess:
    """tests/bench/endpoint.py, running: it serves fal's keys and receives notifications."""

    def __init__(self, folder: Path, dataset: Dataset, *, hold: bool = False, count_only: bool = False) -> None:
        words = python("-m", "tests.bench.endpoint", "--jwks", str(dataset.jwks))
        words += [*(["--hold"] if hold else []), *(["--count-only"] if count_only else [])]
        self.child = Child(folder / "endpoint.log", pinned(LOAD_CORE, words), {})
        self.url = self.child.listening_url()

    def received(self) -> list[tuple[str, str, float]]:
        """List the notifications received: job id, event type, monotonic seconds."""
        return [tuple(each) for each in httpx.get(f"{self.url}/times", timeout=60, trust_env=False).json()]

    def count(self) -> int:
        return int(httpx.get(f"{self.url}/count", timeout=60, trust_env=False).text)

    def release(self) -> None:
        self.child.send_signal(signal.SIGUSR1)


class Server:
    """One process under load, and the CPU and memory it uses."""

    def __init__(
        self, log: Path, command: list[str], settings: Mapping[str, str], path: str, core: int | None = SERVER_CORE
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        words = [word.replace("PORT", str(self.port)) for word in command]
        self.child = Child(
            log, words if core is None else pinned(core, words), dict(settings) | {"PORT": str(self.port)}
        )
        self.began = time.monotonic()
        with httpx.Client(trust_env=False) as http:
            until(f"{command} answers", lambda: self._answers(http, path), 60)
        self.answered_after = time.monotonic() - self.began

    def _answers(self, http: httpx.Client, path: str) -> bool:
        assert self.child.code() is None, self.child.output
        try:
            return http.get(f"{self.url}{path}", timeout=5).status_code < 500
        except httpx.TransportError:
            return False

    @property
    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    @property
    def memory_mb(self) -> float:
        lines = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS:"))

    def client(self) -> httpx.Client:
        """Return a client with the API key, to be used more than once: making one takes longer than a response."""
        headers = {"Authorization": f"Bearer {API_KEY}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False)


def receiver(
    folder: Path, dataset: Dataset, endpoint: EndpointProcess, module: str = "receiver", **settings: str
) -> Server:
    """Start a receiver on a copy of the dataset's database, or on the one already in the folder."""
    ledger = folder / "ledger.db"
    if not ledger.exists():
        dataset.ledger(folder)
    base = receiver_settings(dataset, endpoint, f"sqlite:///{ledger}")
    return Server(folder / "server.log", [sys.executable, "-m", module], base | settings, "/healthz")


def receiver_settings(dataset: Dataset, endpoint: EndpointProcess, database_url: str) -> dict[str, str]:
    """Return the settings of a receiver on a database of the dataset."""
    return {
        "HOST": "127.0.0.1",
        "PUBLIC_URL": "http://127.0.0.1:9",
        "DATABASE_URL": database_url,
        "SECRET_KEY": dataset.secret_key,
        "API_KEY": API_KEY,
        "FAL_KEY": "bench:key",
        "FAL_JWKS_URL": f"{endpoint.url}/jwks.json",
        "FAL_WEBHOOK_TOLERANCE_SECONDS": "3600",
        "NOTIFY_URL": f"{endpoint.url}/hooks",
        "NOTIFY_SECRET": NOTIFY_SECRET,
        "ALLOW_PRIVATE_TARGETS": "127.0.0.1",
        "LOG_FORMAT": "json",
    }


def baseline(folder: Path, dataset: Dataset, name: str, **settings: str) -> Server:
    """Start one of tests/bench/baselines under uvicorn, set up as its documentation says for speed."""
    app = f"tests.bench.baselines.{name}:app"
    options = ["--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"]
    command = [sys.executable, "-m", "uvicorn", app, "--port", "PORT", *options]
    environment = {"BENCH_JWKS": str(dataset.jwks), "BENCH_DB": str(folder / "sample.db")} | settings
    return Server(folder / "server.log", command, environment, "/")
