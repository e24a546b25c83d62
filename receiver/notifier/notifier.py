"""Delivers to endpoints: the worker that holds an endpoint sends what is due to it.

A slow or dead endpoint delays no other: it has one worker, and few requests in flight.
"""

import asyncio

from ledger.clock import Clock
from ledger.errors import Unavailable
from ledger.ledger import Ledger
from ledger.requests import Task
from receiver.notifier.attempts import AttemptSender
from receiver.notifier.hold import LEAVE, READ, Hold, decide
from receiver.notifier.requests import FIRST_WINDOW, EndpointRequests

MOST_FAILING = 10_000
"""Endpoints that are remembered as failing from one hold to the next."""

RELEASE_SECONDS = 1.0
"""How long to wait before a release that failed is repeated."""

_LONG_AGO = float("inf")


class Notifier:
    """Handles `deliver` tasks, whose subject is an endpoint, `at_once` at most.

    `hold_ms` bounds how long one is held, `stop` ends it early. The lease is renewed for a hold and one more attempt.
    """

    def __init__(
        self, ledger: Ledger, sender: AttemptSender, *, clock: Clock, hold_ms: int, stop: asyncio.Event, at_once: int
    ) -> None:
        self._ledger = ledger
        self._sender = sender
        self._clock = clock
        self._hold_ms = hold_ms
        self._stop = stop
        self._at_once = at_once
        self._held = 0
        self._failing: set[str] = set()

    async def handle(self, task: Task) -> None:
        """Send what is due to the endpoint of `task`, for as long as it may be held, and release it."""
        new = self._ledger.queue.due(task.subject)
        window = 1 if task.subject in self._failing else FIRST_WINDOW
        requests = EndpointRequests(self._sender, window, start_by=self._clock() + self._hold_ms, ended=new)
        self._held += 1
        try:
            await self._hold(task, requests, new)
        finally:
            self._held -= 1
            await requests.cancel()
            self._remember(task.subject, failing=requests.failing)
        if requests.faults:
            raise requests.faults[0]
        await self._release(task, until=requests.start_by)

    async def _hold(self, task: Task, requests: EndpointRequests, new: asyncio.Event) -> None:
        clock = asyncio.get_running_loop().time
        unread, read_at, waited = True, -_LONG_AGO, True
        while True:
            unread = unread or new.is_set()
            new.clear()
            hold = Hold(
                window=requests.window,
                in_flight=len(requests.in_flight),
                new=unread,
                since_read=clock() - read_at if waited else 0.0,
                rate_wait=requests.rate_wait(),
                open=not requests.faults and self._clock() < requests.start_by and not self._stop.is_set(),
                crowded=self._held * 2 > self._at_once,
            )
            decision = decide(hold)
            if decision is LEAVE:
                return
            if decision is READ:
                unread, read_at, waited = False, clock(), False
                await self._begin(task.subject, requests)
                continue
            came = await wait_for_any(decision.seconds, *((new, self._stop) if decision.last else (new,)))
            waited = True
            if decision.last and not came:
                return

    async def _begin(self, endpoint_id: str, requests: EndpointRequests) -> None:
        in_flight = requests.in_flight  # before reading: what ends meanwhile is read as if it had not
        limit = requests.room + len(in_flight)
        due = await self._ledger.due_deliveries(endpoint_id, limit=limit)
        requests.begin([delivery for delivery in due if delivery.delivery_id not in in_flight])

    async def _release(self, task: Task, *, until: int) -> None:
        # repeated, or a short fault of the database would keep the endpoint leased
        while True:
            try:
                return await self._ledger.queue.release_endpoint(task)
            except Unavailable:
                if self._stop.is_set() or self._clock() >= until:
                    raise
            await wait_for_any(RELEASE_SECONDS, self._stop)

    def _remember(self, endpoint_id: str, *, failing: bool) -> None:
        if not failing:
            self._failing.discard(endpoint_id)
        elif len(self._failing) < MOST_FAILING:
            self._failing.add(endpoint_id)


async def wait_for_any(seconds: float, *events: asyncio.Event) -> bool:
    """Wait for one of the events, for `seconds` at most. Returns whether one was set."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        done, _ = await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for wait in waits:
            wait.cancel()
