"""A receiver and a sandbox as real processes, and the program run against them."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec

from sandbox.demo.processes import Children, free_port

ROOT = Path(__file__).parents[2]
API_KEY = "an-api-key-of-the-tests"
CLEAN = {name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV"}}


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    code: int
    out: str
    err: str


class RunningReceiver(msgspec.Struct, frozen=True, kw_only=True):
    url: str
    sandbox: str

    def run(self, *words: str, **settings: str) -> Ran:
        """Run `renderhook` with these words, as a user does."""
        environment = CLEAN | {"RENDERHOOK_URL": self.url, "API_KEY": API_KEY} | settings
        return run(sys.executable, "-m", "renderhook", *words, **environment)

    def billed(self) -> list[dict[str, object]]:
        """List the jobs that the sandbox accepted."""
        found: list[dict[str, object]] = httpx.get(f"{self.sandbox}/sandbox/submissions", trust_env=False).json()
        return found


def run(*command: str, **environment: str) -> Ran:
    done = subprocess.run(
        command,
        check=False,
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


@contextmanager
def running_receiver(folder: Path) -> Iterator[RunningReceiver]:
    """Start a sandbox, and a receiver that uses it, on free loopback ports."""
    with Children(folder) as children:
        children.start("sandbox", "sandbox", "--port", "0", "--render-seconds", "0.1")
        sandbox = children.announced_url("sandbox")
        port = free_port()
        settings = {
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DATABASE_URL": f"sqlite:///{folder / 'ledger.db'}",
            "SECRET_KEY": "a-secret-key-of-the-tests",
            "API_KEY": f"{API_KEY},an-older-api-key-of-the-tests",
            "FAL_KEY": "kid:secret",
            "FAL_QUEUE_URL": f"{sandbox}/fal",
            "FAL_JWKS_URL": f"{sandbox}/fal/.well-known/jwks.json",
            "FAL_POLL_SECONDS": "0.2",
            "HEYGEN_API_KEY": "hg-key",
            "HEYGEN_API_URL": f"{sandbox}/heygen",
            "HEYGEN_POLL_SECONDS": "0.2",
        }
        children.start("receiver", "receiver", settings=settings)
        url = f"http://127.0.0.1:{port}"
        children.wait_ready("receiver", f"{url}/readyz")
        yield RunningReceiver(url=url, sandbox=sandbox)
