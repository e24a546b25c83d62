"""Telling the user's systems, an endpoint at a time: whoever holds the endpoint sends what is due to it.

A slow or dead endpoint keeps nobody waiting but itself: it has one worker, and as few requests at once as it can bear.
"""

import asyncio

from ledger import deliveries
from ledger.clock import Clock
from ledger.errors import LedgerError
from ledger.rows import Letter
from ledger.store import Store
from ledger.work import Task
from receiver.postman import Postman

FIRST_WINDOW, WIDEST_WINDOW = 2, 32
"""Requests at once to one endpoint: at first, and at most. Answers widen the window, any trouble narrows it to one."""

MOST_IN_TROUBLE = 10_000
"""Endpoints whose trouble is remembered from one shift to the next."""

FIRST_LOOK_SECONDS, LONGEST_LOOK_SECONDS = 0.05, 1.0
"""How long before looking for new deliveries while earlier ones are unanswered: at first, doubling, at most."""


class Notifier:
    """Handles `deliver` tasks, whose subject is an endpoint. `shift_ms` bounds how long one holds it.

    The lease must last for a shift and one more attempt. `stop` ends a shift early.
    """

    def __init__(self, store: Store, postman: Postman, *, clock: Clock, shift_ms: int, stop: asyncio.Event) -> None:
        self._store = store
        self._postman = postman
        self._clock = clock
        self._shift_ms = shift_ms
        self._stop = stop
        self._in_trouble: set[str] = set()

    async def handle(self, task: Task) -> None:
        """Send what is due to the endpoint of `task`, for a shift, and let it go."""
        ends_at = self._clock() + self._shift_ms
        window = 1 if task.subject in self._in_trouble else FIRST_WINDOW
        shift = _Shift(self._postman, window, start_by=ends_at)
        look = FIRST_LOOK_SECONDS
        try:
            while True:
                if shift.room and not shift.faults and self._clock() < ends_at and not self._stop.is_set():
                    limit = shift.room + shift.under_way
                    shift.begin(await deliveries.read_due(self._store, task.subject, now=self._clock(), limit=limit))
                if not shift.under_way:
                    break
                look = FIRST_LOOK_SECONDS if await shift.wait(look) else min(2 * look, LONGEST_LOOK_SECONDS)
        finally:
            await shift.abandon()
            self._remember(task.subject, trouble=shift.in_trouble)
        if shift.faults:
            raise shift.faults[0]
        await self._store.write(deliveries.release(task, now=self._clock()))

    def _remember(self, endpoint_id: str, *, trouble: bool) -> None:
        if not trouble:
            self._in_trouble.discard(endpoint_id)
        elif len(self._in_trouble) < MOST_IN_TROUBLE:
            self._in_trouble.add(endpoint_id)


class _Shift:
    """What is under way to one endpoint, and how much more it may be. `faults` are of the ledger: it noted nothing."""

    def __init__(self, postman: Postman, window: int, *, start_by: int) -> None:
        self._postman = postman
        self._window = window
        self._start_by = start_by
        self.faults: list[LedgerError] = []
        self._running: dict[str, asyncio.Task[bool]] = {}

    @property
    def room(self) -> int:
        return max(0, self._window - len(self._running))

    @property
    def in_trouble(self) -> bool:
        return self._window == 1

    @property
    def under_way(self) -> int:
        return len(self._running)

    def begin(self, letters: list[Letter]) -> None:
        """Send those that are not under way already, as far as there is room."""
        fresh = [letter for letter in letters if letter.delivery_id not in self._running]
        for letter in fresh[: self.room]:
            self._running[letter.delivery_id] = asyncio.create_task(
                self._postman.deliver(letter, start_by=self._start_by), name=f"deliver {letter.delivery_id}"
            )

    async def wait(self, seconds: float) -> bool:
        """Wait until one has ended, or so long. Tells whether one has."""
        done, _ = await asyncio.wait(self._running.values(), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for delivery_id in [each for each, running in self._running.items() if running in done]:
            try:
                well = self._running.pop(delivery_id).result()
            except LedgerError as fault:
                self.faults.append(fault)
            else:
                self._window = min(self._window * 2, WIDEST_WINDOW) if well else 1
        return bool(done)

    async def abandon(self) -> None:
        """Give up what is still under way; its answer, if one was read, is noted all the same."""
        for running in self._running.values():
            running.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
