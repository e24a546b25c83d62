"""The providers that send callbacks, each with its webhook and the keys that verify it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from providers.http import Send
from providers.provider import Webhook
from receiver.callbacks.keys import KeySource, open_keys
from telemetry.emit import Emit


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that sends callbacks."""

    provider: str
    webhook: Webhook[Any, Any, Any]
    keys: KeySource


@contextlib.asynccontextmanager
async def open_sources(
    webhooks: Mapping[str, Webhook[Any, Any, Any]], send: Send, *, prefetch: bool, emit: Emit
) -> AsyncIterator[dict[str, Source]]:
    """Yield a source for each webhook, by the provider's name. `send` fetches published keys, now with `prefetch`."""
    async with contextlib.AsyncExitStack() as stack:
        sources = {}
        for name, webhook in webhooks.items():
            keys = open_keys(name, webhook, send, emit=emit)
            stack.push_async_callback(keys.close)
            sources[name] = Source(provider=name, webhook=webhook, keys=keys)
            if prefetch:
                prefetching = asyncio.create_task(keys.prefetch(), name=f"prefetch the keys of {name}")
                stack.callback(prefetching.cancel)
        yield sources
