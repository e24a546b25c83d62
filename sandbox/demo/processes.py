"""Child processes, logged to files and always stopped."""

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import httpx

START_SECONDS = 10.0
STOP_SECONDS = 5.0
TAIL_LINES = 20
PASSED_ON = re.compile(r"PATH|HOME|LANG|LC_.*|TZ|TMPDIR|TEMP|TMP|SYSTEMROOT|VIRTUAL_ENV|PYTHON.*|COVERAGE.*")
"""The variables that children inherit: no settings, and no real API keys."""


class DemoError(Exception):
    """The demo cannot continue."""


class Children:
    """Processes by name, each with a log file `NAME.log` in the folder. They are stopped on exit from the context."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.terminate()
        end = time.monotonic() + STOP_SECONDS
        for child in self._children.values():
            try:
                child.wait(max(end - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def start(self, name: str, module: str, *arguments: str, settings: Mapping[str, str] | None = None) -> None:
        """Start `python -m MODULE` in a new session, so that ctrl-C does not reach it."""
        environment = {key: value for key, value in os.environ.items() if PASSED_ON.fullmatch(key)}
        with self._log(name).open("wb") as log:
            self._children[name] = subprocess.Popen(  # noqa: S603 - the arguments are constants of this repository and its tests
                [sys.executable, "-m", module, *arguments],
                env=environment | dict(settings or {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def announced_url(self, name: str) -> str:
        """Wait for the line `NAME listening on URL` in a child's log, and return the URL. Raises DemoError."""
        end = time.monotonic() + START_SECONDS
        while not (found := re.search(r" listening on (\S+)\n", self._log(name).read_text())):
            self._check(name, end)
        return found[1]

    def wait_ready(self, name: str, url: str) -> None:
        """Wait until a child answers 200 at `url`. Raises DemoError."""
        end = time.monotonic() + START_SECONDS
        while not _answers(url):
            self._check(name, end)

    def tails(self) -> str:
        """Return the last lines of each child's log."""
        parts = []
        for name in self._children:
            lines = self._log(name).read_text(errors="replace").splitlines()[-TAIL_LINES:]
            parts.append("\n".join([f"--- the end of {name}.log", *(lines or ["(empty)"])]))
        return "\n".join(parts)

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def _check(self, name: str, end: float) -> None:
        code = self._children[name].poll()
        if code is not None:
            raise DemoError(f"the {name} exited with {code} while starting")
        if time.monotonic() > end:
            raise DemoError(f"the {name} was not ready within {START_SECONDS:.0f} s")
        time.sleep(0.05)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def free_port() -> int:
    """Return a loopback port that is not in use."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
