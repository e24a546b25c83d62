"""The HTTP clients of the process, each with its own connections and limits."""

import contextlib
from collections.abc import AsyncIterator, Sequence

import msgspec

from outbound.client import Client, open_transport
from outbound.targets import GuardedResolver, Targets

KEYS_SECONDS = 5.0
LONGEST_KEYS = 1 << 20
"""The limits of a fetch of public keys."""


class Clients(msgspec.Struct, frozen=True, kw_only=True):
    """A client for each purpose, and which targets `deliver` may reach."""

    submit: Client
    poll: Client
    fetch_keys: Client
    deliver: Client
    targets: Targets


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Requests at once, the seconds of each, and the bytes of its response."""

    concurrency: int
    seconds: float
    max_bytes: int


@contextlib.asynccontextmanager
async def open_clients(
    providers: Limits, deliveries: Limits, *, longest_result: int, allow_private_targets: Sequence[str]
) -> AsyncIterator[Clients]:
    """Open the clients. Only that of deliveries is guarded, and cuts a response that is too long.

    `longest_result` is the limit of a response to a poll, in bytes.
    """
    targets = Targets(allow_private_targets)
    async with contextlib.AsyncExitStack() as stack:
        guarded = open_transport(
            connections=deliveries.concurrency,
            socket_factory=targets.socket_factory,
            resolver=GuardedResolver(targets),
        )
        polling = open_transport(connections=providers.concurrency + 1)  # and one that fetches keys
        submitting = open_transport(connections=providers.concurrency, keep_alive=False)
        for transport in (guarded, polling, submitting):
            stack.push_async_callback(transport.aclose)
        yield Clients(
            submit=Client(submitting, seconds=providers.seconds, max_bytes=providers.max_bytes),
            poll=Client(polling, seconds=providers.seconds, max_bytes=longest_result),
            fetch_keys=Client(polling, seconds=KEYS_SECONDS, max_bytes=LONGEST_KEYS),
            deliver=Client(guarded, seconds=deliveries.seconds, max_bytes=deliveries.max_bytes, cut=True),
            targets=targets,
        )
