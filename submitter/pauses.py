"""Pauses of providers that refuse our account, such as for a wrong key: their jobs wait instead of failing.

One submission at a time is sent as a probe. What is known is this process's own: another finds out by a probe too.
"""

import msgspec

from ledger.clock import Clock
from ledger.records import JobError
from ledger.requests import HELD
from telemetry.emit import Emit

PROBE_DELAYS = (5_000, 10_000, 20_000, 40_000, 60_000)
"""Before the first, second ... probe (ms). The last repeats."""


class _Pause(msgspec.Struct):
    error: JobError
    began_at: int
    probe_at: int
    probes: int = 0


class Pauses:
    """The providers that are paused, by name. Times are milliseconds since the epoch."""

    def __init__(self, *, clock: Clock, emit: Emit) -> None:
        self._clock = clock
        self._emit = emit
        self._paused: dict[str, _Pause] = {}
        self._counted_from: dict[str, int] = {}

    def __bool__(self) -> bool:
        return bool(self._paused)

    def begin(self, provider: str, reason: JobError, setting: str) -> tuple[JobError, int]:
        """Pause the provider, or keep it paused. Returns the error of the jobs that wait, and when to try next."""
        message = (
            f"{provider} refuses our account ({reason.message}). The job was not taken: it is held, and submitted when "
            f"the account works again. Check {setting}, and the balance and permissions of the account"
        )
        error = JobError(fault=reason.fault, code=HELD, message=message, retryable=True)
        now = self._clock()
        pause = self._paused.setdefault(provider, _Pause(error, now, now + PROBE_DELAYS[0]))
        pause.error = error
        self._emit("provider.paused", provider=provider, code=reason.code, message=message)
        return error, max(pause.probe_at, now)

    def wait(self, provider: str) -> tuple[JobError, int] | None:
        """Return why and until when a job has to wait. None when it may be submitted, perhaps as the next probe."""
        pause, now = self._paused.get(provider), self._clock()
        if pause is None:
            return None
        if now < pause.probe_at:
            return pause.error, pause.probe_at
        pause.probes += 1
        pause.probe_at = now + PROBE_DELAYS[min(pause.probes, len(PROBE_DELAYS) - 1)]
        return None

    def end(self, provider: str) -> None:
        """End the pause, if there is one: the provider answered a submission and did not refuse our account."""
        pause = self._paused.pop(provider, None)
        if pause is not None:
            self.restart_time(provider)
            self._emit("provider.resumed", provider=provider, seconds=(self._clock() - pause.began_at) // 1000)

    def restart_time(self, provider: str) -> None:
        """Count the time in which a job has to be taken from now: until now it could not be."""
        self._counted_from[provider] = self._clock()

    def counted_from(self, provider: str) -> int:
        """Return from when that time counts; 0 if there was no pause."""
        return self._counted_from.get(provider, 0)
