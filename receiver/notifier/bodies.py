"""The bodies of notifications: small ones are rendered for each attempt, large ones once, within a limit of bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial

import msgspec

from ledger.ledger import Ledger
from ledger.rows import DueDelivery, Event, Job
from receiver.views.notification import view_notification

Key = tuple[str, int]
"""The subject and the number of an event: what makes one body equal to another."""


class Bodies:
    """Renders bodies, and holds at most `most_bytes` of large ones, or one that is longer.

    A body is the same for every endpoint, so those that are sent at one time share it.
    """

    def __init__(self, ledger: Ledger, *, most_bytes: int) -> None:
        self._ledger = ledger
        self._most_bytes = most_bytes
        self._in_flight = 0
        self._shared: dict[Key, _SharedBody] = {}
        self._rendering = asyncio.Lock()
        self._room = asyncio.Condition()

    @contextlib.asynccontextmanager
    async def body_of(self, delivery: DueDelivery) -> AsyncIterator[bytes]:
        """Hold the body of `delivery`. Raises LedgerError."""
        if not delivery.large:
            yield notification(delivery.event, delivery.subject_kind, delivery.job)
            return
        key = (delivery.event.subject, delivery.event.sequence)
        shared = self._shared.get(key)
        if shared is None:
            shared = self._shared[key] = _SharedBody()
            shared.loading = asyncio.create_task(self._load(shared, delivery), name="render a large notification")
        shared.users += 1
        try:
            assert shared.loading is not None
            yield await asyncio.shield(shared.loading)
        finally:
            shared.users -= 1
            if not shared.users:
                del self._shared[key]
                await self._release(shared)

    async def _load(self, shared: "_SharedBody", delivery: DueDelivery) -> bytes:
        size = 0
        while True:
            async with self._room:
                await self._room.wait_for(partial(self._fits, size))
            async with self._rendering:  # one at a time: rendering needs the memory of several
                job = await self._ledger.job(delivery.event.subject)
                body = notification(delivery.event, delivery.subject_kind, job)
                size = len(body)
                if self._fits(size):
                    shared.size = size
                    self._in_flight += size
                    return body
            del body  # not kept while it waits

    def _fits(self, size: int) -> bool:
        return not self._in_flight or self._in_flight + size <= self._most_bytes

    async def _release(self, shared: "_SharedBody") -> None:
        assert shared.loading is not None
        shared.loading.cancel()
        await asyncio.gather(shared.loading, return_exceptions=True)
        shared.loading = None
        self._in_flight -= shared.size
        async with self._room:
            self._room.notify_all()


class _SharedBody:
    """A body that several attempts use."""

    def __init__(self) -> None:
        self.users = 0
        self.size = 0
        self.loading: asyncio.Task[bytes] | None = None


def notification(event: Event, subject_kind: str, job: Job | None) -> bytes:
    """Write the body of an event: the same bytes at every attempt."""
    return msgspec.json.encode(view_notification(event, subject_kind, job))
