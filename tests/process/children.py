"""Child processes of tests: started on loopback, signalled, killed, and gone at the end of the test."""

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx

from sandbox.demo.processes import PASSED_ON

ROOT = Path(__file__).parents[2]
TIMEOUT_SECONDS = 15.0
POLL_SECONDS = 0.02
T = TypeVar("T")


def until(what: str, condition: Callable[[], T | None], seconds: float = TIMEOUT_SECONDS) -> T:
    """Poll until `condition` returns something true, and return it. `what` names it in the failure after `seconds`."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(POLL_SECONDS)
    return found


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the settings, and of our own environment only what any process needs."""
    return {key: value for key, value in os.environ.items() if PASSED_ON.fullmatch(key)} | dict(settings)


class Child:
    """One process, with its output appended to a log file."""

    def __init__(self, log: Path, command: Sequence[str], settings: Mapping[str, str], **options: Any) -> None:
        self.log = log
        with log.open("ab") as stream:
            self._offset = stream.tell()
            self._child = subprocess.Popen(
                command,
                env=environment(settings),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                start_new_session=True,
                **{"stderr": subprocess.STDOUT} | options,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def output(self) -> str:
        """What this process, not an earlier one with the same log, has written."""
        with self.log.open("rb") as stream:
            stream.seek(self._offset)
            return stream.read().decode(errors="replace")

    def code(self) -> int | None:
        return self._child.poll()

    def send_signal(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def wait(self, seconds: float = TIMEOUT_SECONDS) -> int:
        """Wait until it has exited, and return its exit code (a signal's number, negative)."""
        return self._child.wait(seconds)

    def kill(self) -> None:
        """Send SIGKILL to its whole session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(TIMEOUT_SECONDS)

    def listening_url(self) -> str:
        """Wait for the line `… listening on <url>`, and return the URL."""

        def read() -> str:
            assert self.code() is None, self.output
            return self.output.partition(" listening on ")[2].partition("\n")[0]

        return until(f"{self.log.stem} listens", read)


def free_port() -> int:
    """Return a free loopback port outside the ephemeral range: it stays free while a receiver is down."""
    for port in random.sample(range(12_000, 30_000), 100):
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", port))
            return port
    raise AssertionError("a hundred ports were in use")


def python(*words: str) -> list[str]:
    return [sys.executable, *words]


def answers(http: httpx.Client, url: str) -> bool:
    try:
        return http.get(url).status_code == 200
    except httpx.TransportError:
        return False
