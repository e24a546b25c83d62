"""The requests in flight to one endpoint, and how many more there may be."""

import asyncio
from functools import partial

from ledger.rows import DueDelivery, Endpoint
from receiver.notifier.attempts import AttemptSender

FIRST_WINDOW, WIDEST_WINDOW = 2, 32
"""Requests in flight to one endpoint, at first and at most. A response widens the window, a failure narrows it to 1."""


class EndpointRequests:
    """Starts attempts and counts them. `ended` is set when one has ended.

    `faults` are those of attempts that could not be recorded. `start_by` (ms) is when the last one must have begun.
    """

    def __init__(self, sender: AttemptSender, window: int, *, start_by: int, ended: asyncio.Event) -> None:
        self._sender = sender
        self._ended_event = ended
        self._running: dict[str, asyncio.Task[bool]] = {}
        self._widest = WIDEST_WINDOW
        self._interval = 0.0
        self._next_start = 0.0
        self.window = window
        self.start_by = start_by
        self.faults: list[BaseException] = []

    @property
    def room(self) -> int:
        """How many may begin."""
        if self._interval:
            return 1 if self.window > len(self._running) and not self.rate_wait() else 0
        return max(0, self.window - len(self._running))

    @property
    def failing(self) -> bool:
        """Whether the last attempt had no response, or one of an overloaded endpoint."""
        return self.window == 1 and self._widest > 1

    @property
    def in_flight(self) -> frozenset[str]:
        """The ids of the deliveries being attempted."""
        return frozenset(self._running)

    def rate_wait(self) -> float:
        """Return the seconds until the endpoint's own limit lets the next one begin."""
        return max(0.0, self._next_start - asyncio.get_running_loop().time()) if self._interval else 0.0

    def begin(self, deliveries: list[DueDelivery]) -> None:
        """Attempt as many as there is room for."""
        if deliveries:
            self._limit(deliveries[0].endpoint)
        for delivery in deliveries[: self.room]:
            running = asyncio.create_task(self._sender.deliver(delivery, start_by=self.start_by))
            self._running[delivery.delivery_id] = running
            running.add_done_callback(partial(self._ended, delivery.delivery_id))
            self._next_start = asyncio.get_running_loop().time() + self._interval

    async def cancel(self) -> None:
        """Cancel what is in flight. A response that was read is recorded anyway."""
        running = list(self._running.values())
        for each in running:
            each.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    def _limit(self, endpoint: Endpoint) -> None:
        self._widest = min(WIDEST_WINDOW, endpoint.max_concurrency or WIDEST_WINDOW)
        self.window = min(self.window, self._widest)
        self._interval = 1 / endpoint.rate_per_second if endpoint.rate_per_second else 0.0

    def _ended(self, delivery_id: str, running: asyncio.Task[bool]) -> None:
        del self._running[delivery_id]
        self._ended_event.set()
        if running.cancelled():
            return
        fault = running.exception()
        if fault is not None:
            self.faults.append(fault)
        else:
            self.window = min(self.window * 2, self._widest) if running.result() else 1
