"""Waiting until a job has ended, also through a restart of the receiver."""

import signal
import time
from collections.abc import Callable
from time import sleep
from typing import Any

import click

from renderhook.errors import INTERRUPTED, NotEndedError, UnansweredError
from renderhook.receiver_client import ReceiverClient

TERMINAL = frozenset({"completed", "failed", "canceled", "expired"})
WAIT_SECONDS = 3600.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 5.0
"""Seconds between polls: the first pause, growing to the longest."""


def wait_for(client: ReceiverClient, job_id: str, timeout: float) -> dict[str, Any]:
    """Return the job when it has ended. Prints each new state to stderr.

    Once the job was read, a receiver that does not answer is waited for, too. Raises NotEndedError after `timeout`
    seconds. Ctrl-C ends the program with `INTERRUPTED`, and the command by which to wait on is printed.
    """
    interrupted = False

    def interrupt(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        raise KeyboardInterrupt

    def check() -> None:
        if interrupted:  # Python drops an exception that is raised while it finalizes an object
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        return _poll(client, job_id, timeout, _Printer(job_id), check)
    except KeyboardInterrupt:
        click.echo(f"\nrenderhook: the job goes on: renderhook wait {job_id}", err=True)
        raise click.exceptions.Exit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGINT, before)


class _Printer:
    """Prints a line when what it is given has changed."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._last = ""

    def __call__(self, words: str) -> None:
        if words != self._last:
            click.echo(f"{self._job_id} {words}", err=True)
        self._last = words


def _poll(
    client: ReceiverClient, job_id: str, timeout: float, show: Callable[[str], None], check: Callable[[], None]
) -> dict[str, Any]:
    deadline, pause = time.monotonic() + timeout, _FIRST_PAUSE
    job: dict[str, Any] | None = client.job(job_id)
    state = ""
    while True:
        check()
        if job is not None:
            state = job["state"]
            show(state)
            if state in TERMINAL:
                return job
        if time.monotonic() >= deadline:
            raise NotEndedError(f"{job_id} is still {state} after {timeout:g} s")
        sleep(min(pause, max(0.0, deadline - time.monotonic())))
        pause = min(pause * 1.5, _LONGEST_PAUSE)
        try:
            job = client.job(job_id)
        except UnansweredError as error:
            if not error.may_pass or time.monotonic() >= deadline:
                raise
            job = None
            show(f"is not known: {error.message}. Waiting on")
