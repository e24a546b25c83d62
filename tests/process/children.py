"""Child processes of tests: our own modules on loopback, killed and stopped as asked, and always gone at the end."""

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
BOUND_SECONDS = 15.0
LOOK_SECONDS = 0.02
T = TypeVar("T")


def until(what: str, condition: Callable[[], T | None], seconds: float = BOUND_SECONDS) -> T:
    """Look until `condition` gives something, and return it; `what` names it when it never comes."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(LOOK_SECONDS)
    return found


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Pass on nothing of ours but what a process needs to run at all."""
    return {key: value for key, value in os.environ.items() if PASSED_ON.fullmatch(key)} | dict(settings)


class Child:
    """One process, its output in a log that later ones of the same name continue."""

    def __init__(self, log: Path, command: Sequence[str], settings: Mapping[str, str], **options: Any) -> None:
        self.log = log
        with log.open("ab") as stream:
            self._from = stream.tell()
            self._child = subprocess.Popen(
                command,
                env=environment(settings),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **options,
            )

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def said(self) -> str:
        """Everything that this one, not an earlier one, has said."""
        with self.log.open("rb") as stream:
            stream.seek(self._from)
            return stream.read().decode(errors="replace")

    def code(self) -> int | None:
        return self._child.poll()

    def tell(self, number: signal.Signals) -> None:
        self._child.send_signal(number)

    def ended(self, seconds: float = BOUND_SECONDS) -> int:
        """Wait for its end, and return its exit code (a signal's number, negative)."""
        return self._child.wait(seconds)

    def kill(self) -> None:
        """kill -9, the whole session."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._child.pid, signal.SIGKILL)
        self._child.wait(BOUND_SECONDS)

    def announced_url(self) -> str:
        """Wait for the line `… listening on <url>`."""

        def look() -> str:
            assert self.code() is None, self.said
            return self.said.partition(" listening on ")[2].partition("\n")[0]

        return until(f"{self.log.stem} listens", look)


def quiet_port() -> int:
    """Find a loopback port below those that connections are given: it stays free while a receiver is down."""
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
