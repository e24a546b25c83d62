"""The keys that verify a provider's signatures: secrets from the settings, or public keys fetched from the provider."""

import asyncio
from collections.abc import Awaitable, Sequence
from typing import Any

import msgspec

from ledger.clock import Clock, monotonic_clock
from providers.errors import Malformed
from providers.http import NeverSent, Request, Send, Unread
from providers.provider import PublishedKeys, Webhook
from telemetry.emit import Emit

KEPT_MS = 24 * 3600 * 1000
"""How long fetched keys are used. fal's documentation allows 24 hours at most."""

REFRESHED_MS = KEPT_MS // 2
"""Keys older than this are fetched again in the background, so that no callback waits for them."""

FLOOR_MS = 60_000
"""At most one fetch a minute because of signatures that match no key: forged callbacks must not cause requests."""

FAULT_FLOOR_MS = 2_000
"""The least time between a failed fetch and the next one."""


class KeysUnavailable(Exception):
    """There are no keys, and none can be fetched: signatures cannot be verified now."""


class Keys(msgspec.Struct, frozen=True, kw_only=True):
    """The keys, and when they were fetched (ms)."""

    verify_keys: Sequence[Any]
    fetched_at: int


class FixedKeys:
    """Keys from the settings, which do not change while the process runs. The methods are those of `KeyRing`."""

    def __init__(self, keys: Sequence[Any]) -> None:
        self.fresh = Keys(verify_keys=keys, fetched_at=0)

    async def current(self) -> Keys:
        """Return the keys."""
        return self.fresh

    async def newer_than(self, keys: Keys) -> Keys | None:  # noqa: ARG002 - `KeyRing` needs it to know what is newer
        """Return None: there are no others."""
        return None

    async def prefetch(self) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class KeyRing:
    """Keys that a provider publishes. Concurrent callers wait for the same fetch; stale keys are used if it fails."""

    def __init__(self, provider: str, published: PublishedKeys[Any], send: Send, *, clock: Clock, emit: Emit) -> None:
        self._provider = provider
        self._published = published
        self._send = send
        self._clock = clock
        self._emit = emit
        self._keys: Keys | None = None
        self._failed_at: int | None = None
        self._fetching: asyncio.Task[Keys] | None = None

    @property
    def fresh(self) -> Keys | None:
        """The keys, when they were fetched less than `REFRESHED_MS` ago."""
        keys = self._keys
        return keys if keys is not None and self._clock() - keys.fetched_at < REFRESHED_MS else None

    async def current(self) -> Keys:
        """Return the keys, fetching them if there are none or they are too old. Raises `KeysUnavailable`."""
        keys = self._keys
        if keys is None:
            return await self._fetched()
        age = self._clock() - keys.fetched_at
        if age >= KEPT_MS:
            try:
                return await self._fetched()
            except KeysUnavailable:
                return keys  # stale keys are better than refusing what the provider signed
        if age >= REFRESHED_MS and not self._failed_recently():
            self._start()
        return keys

    async def newer_than(self, keys: Keys) -> Keys | None:
        """Return keys fetched after `keys`, none of which made a signature; None when it is too early to fetch.

        Raises `KeysUnavailable` when the fetch fails: a key that we have not fetched may have made the signature.
        """
        if self._keys is not None and self._keys.fetched_at > keys.fetched_at:
            return self._keys
        if self._fetching is None and self._clock() - keys.fetched_at < FLOOR_MS:
            return None
        return await self._fetched()

    async def prefetch(self) -> None:
        """Fetch the keys at the start, so that the first callback need not wait. A failure is emitted, not raised."""
        try:
            await self._fetched()
        except KeysUnavailable:
            return  # emitted by the fetch; the next callback tries again

    async def close(self) -> None:
        """Cancel a fetch in progress."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait({self._fetching})

    def _fetched(self) -> Awaitable[Keys]:
        if self._fetching is None and self._failed_recently():
            raise KeysUnavailable(f"fetching the keys of {self._provider} failed a moment ago")
        return asyncio.shield(self._start())

    def _failed_recently(self) -> bool:
        return self._failed_at is not None and self._clock() - self._failed_at < FAULT_FLOOR_MS

    def _start(self) -> asyncio.Task[Keys]:
        if self._fetching is None:
            self._fetching = asyncio.create_task(self._fetch(), name=f"fetch the keys of {self._provider}")
            self._fetching.add_done_callback(self._fetch_ended)
        return self._fetching

    def _fetch_ended(self, task: asyncio.Task[Keys]) -> None:
        self._fetching = None
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it: callers that waited have it, and it was emitted

    async def _fetch(self) -> Keys:
        url = self._published.url
        try:
            verify_keys = await self._request()
        except (NeverSent, Unread, Malformed) as error:
            self._failed_at = self._clock()
            self._emit("keys.fetch_failed", provider=self._provider, url=url, error=str(error))
            raise KeysUnavailable(str(error)) from error
        self._failed_at = None
        self._keys = Keys(verify_keys=verify_keys, fetched_at=self._clock())
        self._emit("keys.fetched", provider=self._provider, url=url, number=len(verify_keys))
        return self._keys

    async def _request(self) -> Sequence[Any]:
        request = Request(method="GET", url=self._published.url, headers={"Accept": "application/json"})
        response = await self._send(request)
        if not response.ok:
            raise Malformed(f"HTTP {response.status}; check {self._published.setting}")
        return self._published.read(response.body)


KeySource = KeyRing | FixedKeys
"""The keys of one provider."""


def open_keys(
    provider: str, webhook: Webhook[Any, Any, Any], send: Send, *, emit: Emit, clock: Clock = monotonic_clock
) -> KeySource:
    """Return the source of the keys of a provider's webhook. `send` fetches those that are published.

    `clock` never goes back or ahead, as the time of day may: keys have ages.
    """
    keys = webhook.keys
    if isinstance(keys, PublishedKeys):
        return KeyRing(provider, keys, send, clock=clock, emit=emit)
    return FixedKeys(keys)
