"""fal's public keys: fetched once for everybody, kept a day, served stale when fal cannot be reached.

https://fal.ai/docs/documentation/model-apis/inference/webhooks.md
"""

import asyncio
from collections.abc import Awaitable, Sequence

import msgspec
from nacl.signing import VerifyKey

from ledger.clock import Clock
from providers.errors import Malformed
from providers.fal.keys import parse_jwks
from providers.http import NeverSent, Request, Send, Unread
from telemetry.emit import Emit

KEPT_MS = 24 * 3600 * 1000
"""fal's documentation allows caching for 24 hours at most."""

REFRESHED_MS = KEPT_MS // 2
"""Keys older than this are fetched anew in the background, off the path of any callback."""

FLOOR_MS = 60_000
"""At most one refetch a minute because of signatures that match no key: garbage must not make us hammer fal."""

FAULT_FLOOR_MS = 2_000
"""After a failed fetch, at most one try in two seconds."""


class KeysUnavailable(Exception):
    """Nobody can say whether a signature is good: fal's keys cannot be had just now."""


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys as fetched, and when (ms)."""

    verify_keys: tuple[VerifyKey, ...]
    fetched_at: int


class KeyRing:
    """Holds fal's keys. All who wait for a fetch wait for the same one."""

    def __init__(self, send: Send, url: str, *, clock: Clock, emit: Emit) -> None:
        self._send = send
        self._url = url
        self._clock = clock
        self._emit = emit
        self._keys: Keys | None = None
        self._failed_at: int | None = None
        self._fetching: asyncio.Task[Keys] | None = None

    @property
    def fresh(self) -> Keys | None:
        """The keys to verify with, when they are there and nothing need be fetched."""
        keys = self._keys
        return keys if keys is not None and self._clock() - keys.fetched_at < REFRESHED_MS else None

    async def current(self) -> Keys:
        """Return the keys to verify with. Raises KeysUnavailable when there are none and none can be fetched."""
        keys = self._keys
        if keys is None:
            return await self._fetched()
        age = self._clock() - keys.fetched_at
        if age >= KEPT_MS:
            try:
                return await self._fetched()
            except KeysUnavailable:
                return keys  # stale keys are better than refusing what fal signed
        if age >= REFRESHED_MS and not self._resting():
            self._start()
        return keys

    async def newer_than(self, keys: Keys) -> Keys | None:
        """Return keys fetched after `keys`, because a signature matched none of those; None when there are none newer.

        Raises KeysUnavailable when fal cannot be asked: the signature may be by a key that we have not seen.
        """
        if self._keys is not None and self._keys.fetched_at > keys.fetched_at:
            return self._keys
        if self._fetching is None and self._clock() - keys.fetched_at < FLOOR_MS:
            return None
        return await self._fetched()

    async def prefetch(self) -> None:
        """Fetch at start, so that the first callback need not wait. A failure is announced, not raised."""
        try:
            await self._fetched()
        except KeysUnavailable:
            return  # announced where it happened; the next callback tries again

    async def close(self) -> None:
        """Give up a fetch that is under way."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _fetched(self) -> Awaitable[Keys]:
        if self._fetching is None and self._resting():
            raise KeysUnavailable("fal's keys could not be fetched a moment ago")
        return asyncio.shield(self._start())

    def _resting(self) -> bool:
        return self._failed_at is not None and self._clock() - self._failed_at < FAULT_FLOOR_MS

    def _start(self) -> asyncio.Task[Keys]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(), name="fetch fal's keys")
            self._fetching.add_done_callback(self._fetch_ended)
        return self._fetching

    def _fetch_ended(self, task: asyncio.Task[Keys]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # whoever waited has it; in the background it was announced

    async def _fetch(self) -> Keys:
        try:
            verify_keys = await self._ask()
        except (NeverSent, Unread, Malformed) as error:
            self._failed_at = self._clock()
            self._emit("keys.fetch_failed", provider="fal", url=self._url, error=str(error))
            raise KeysUnavailable(str(error)) from error
        self._failed_at = None
        self._keys = Keys(verify_keys=tuple(verify_keys), fetched_at=self._clock())
        self._emit("keys.fetched", provider="fal", url=self._url, number=len(verify_keys))
        return self._keys

    async def _ask(self) -> Sequence[VerifyKey]:
        answer = await self._send(Request(method="GET", url=self._url, headers={"Accept": "application/json"}))
        if answer.status != 200:
            raise Malformed(f"HTTP {answer.status}; check FAL_JWKS_URL")
        return parse_jwks(answer.body)
