"""Telling the user's systems, an endpoint at a time: whoever holds the endpoint sends what is due to it.

A slow or dead endpoint keeps nobody waiting but itself: it has one worker, and as few requests at once as it can bear.
"""

import asyncio
from functools import partial

from ledger.clock import Clock
from ledger.errors import Unavailable
from ledger.ledger import Ledger
from ledger.requests import Task
from ledger.rows import DueDelivery
from receiver.notifier.attempts import AttemptSender

FIRST_WINDOW, WIDEST_WINDOW = 2, 32
"""Requests at once to one endpoint: at first, and at most. Answers widen the window, any trouble narrows it to one."""

MOST_IN_TROUBLE = 10_000
"""Endpoints whose trouble is remembered from one shift to the next."""

LINGER_SECONDS = 1.0
"""How long an endpoint is kept when everything was told: what comes next then needs no new lease."""

LOOK_SECONDS = 1.0
"""How often to look for what came due by itself while earlier ones are unanswered. Of what is new we are told."""

NEWS_SECONDS = 0.05
"""How long what is new may wait for more to be read with it, while less than half a window is free."""


class Notifier:
    """Handles `deliver` tasks, whose subject is an endpoint, `at_once` at most.

    `shift_ms` bounds how long one holds it, `stop` ends it early. The lease must last for a shift and one more attempt.
    """

    def __init__(
        self, ledger: Ledger, sender: AttemptSender, *, clock: Clock, shift_ms: int, stop: asyncio.Event, at_once: int
    ) -> None:
        self._ledger = ledger
        self._postman = sender
        self._clock = clock
        self._shift_ms = shift_ms
        self._stop = stop
        self._at_once = at_once
        self._shifts = 0
        self._in_trouble: set[str] = set()

    async def handle(self, task: Task) -> None:
        """Send what is due to the endpoint of `task`, for a shift, and let it go."""
        news = self._ledger.queue.due(task.subject)
        window = 1 if task.subject in self._in_trouble else FIRST_WINDOW
        shift = _Shift(self._postman, window, start_by=self._clock() + self._shift_ms, news=news)
        self._shifts += 1
        try:
            await self._work(task, shift, news)
        finally:
            self._shifts -= 1
            await shift.abandon()
            self._remember(task.subject, trouble=shift.in_trouble)
        if shift.faults:
            raise shift.faults[0]
        await self._let_go(task, until=shift.start_by)

    async def _work(self, task: Task, shift: "_Shift", news: asyncio.Event) -> None:
        now = asyncio.get_running_loop().time
        looked_at, unread = 0.0, True
        while True:
            unread = unread or news.is_set()
            news.clear()
            going_on = not shift.faults and self._clock() < shift.start_by and not self._stop.is_set()
            rested = now() - looked_at >= (NEWS_SECONDS if unread else LOOK_SECONDS)
            if going_on and shift.room and (shift.half_empty or rested):
                looked_at, unread = now(), False
                await self._begin_more(task.subject, shift)
            if shift.under_way:
                await _heard(NEWS_SECONDS if unread and going_on and shift.room else LOOK_SECONDS, news)
            elif not going_on or self._shifts * 2 > self._at_once or not await _heard(LINGER_SECONDS, news, self._stop):
                return

    async def _begin_more(self, endpoint_id: str, shift: "_Shift") -> None:
        under_way = shift.under_way  # before reading: what ends meanwhile is read as if it had not
        limit = shift.room + len(under_way)
        letters = await self._ledger.due_deliveries(endpoint_id, limit=limit)
        shift.begin([letter for letter in letters if letter.delivery_id not in under_way])

    async def _let_go(self, task: Task, *, until: int) -> None:
        # Or a moment without disk would silence the endpoint to the end of the lease.
        while True:
            try:
                return await self._ledger.queue.release_endpoint(task)
            except Unavailable:
                if self._stop.is_set() or self._clock() >= until:
                    raise
            await _heard(LOOK_SECONDS, self._stop)

    def _remember(self, endpoint_id: str, *, trouble: bool) -> None:
        if not trouble:
            self._in_trouble.discard(endpoint_id)
        elif len(self._in_trouble) < MOST_IN_TROUBLE:
            self._in_trouble.add(endpoint_id)


class _Shift:
    """What is under way to one endpoint, and how much more it may be. `news` is set when one has ended.

    `faults` are of the ledger: it noted nothing. `start_by` (ms) is when the last one must have claimed.
    """

    def __init__(self, sender: AttemptSender, window: int, *, start_by: int, news: asyncio.Event) -> None:
        self._postman = sender
        self._window = window
        self._news = news
        self._running: dict[str, asyncio.Task[bool]] = {}
        self.start_by = start_by
        self.faults: list[BaseException] = []

    @property
    def room(self) -> int:
        return max(0, self._window - len(self._running))

    @property
    def half_empty(self) -> bool:
        """Whether a reading is worth it: those under way are read again with those that are new."""
        return self.room * 2 >= self._window

    @property
    def in_trouble(self) -> bool:
        return self._window == 1

    @property
    def under_way(self) -> frozenset[str]:
        """The deliveries being made."""
        return frozenset(self._running)

    def begin(self, letters: list[DueDelivery]) -> None:
        """Send as many as there is room for."""
        for letter in letters[: self.room]:
            running = asyncio.create_task(self._postman.deliver(letter, start_by=self.start_by))
            self._running[letter.delivery_id] = running
            running.add_done_callback(partial(self._ended, letter.delivery_id))

    def _ended(self, delivery_id: str, running: asyncio.Task[bool]) -> None:
        del self._running[delivery_id]
        self._news.set()
        if running.cancelled():
            return
        fault = running.exception()
        if fault is not None:
            self.faults.append(fault)
        else:
            self._window = min(self._window * 2, WIDEST_WINDOW) if running.result() else 1

    async def abandon(self) -> None:
        """Give up what is still under way; its answer, if one was read, is noted all the same."""
        running = list(self._running.values())
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def _heard(seconds: float, *events: asyncio.Event) -> bool:
    """Wait for one of the events, so long at most. Tells whether one came."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()
