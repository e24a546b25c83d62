"""Resolves host names with the system's resolver, on threads of its own, without a wait of one name for another."""

import asyncio
import socket
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

AddressInfo = tuple[int, int, int, str, Any]
"""One address as `socket.getaddrinfo` returns it."""
Addresses = Sequence[AddressInfo]
LookUp = Callable[[str, int], Addresses]
_Found = Addresses | OSError
_LookingUp = tuple[float, "asyncio.Future[_Found]"]
"""Since when a name is being resolved, and what will be found."""

ANSWER_SECONDS = 10.0
"""How long a name server may take. The thread that waits for it may wait longer: nothing can stop it."""

REMEMBER_SECONDS, REMEMBER_FAILURE_SECONDS = 10.0, 4.0
"""How long addresses, and the failure to find some, are used again."""

MOST_REMEMBERED = 10_000
"""Names whose addresses, or whose existence, are remembered."""

KNOWN_SHARE = 64
"""Additional lookups for names that were resolved before: names without an answering server cannot use these."""


class Busy(OSError):
    """As many names are being resolved as may be. That says nothing about the name."""

    def __init__(self) -> None:
        super().__init__("too many names are being resolved")
        self.strerror = "too many names are being resolved"


def look_up(host: str, port: int) -> Addresses:
    """Return the addresses of `host`. Raises OSError."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


class Names:
    """Resolves names, at most `most` and `KNOWN_SHARE` at once, each on a thread. A name has one lookup at a time."""

    def __init__(self, *, most: int, look_up: LookUp = look_up) -> None:
        self._most = most
        self._look_up = look_up
        self._begun: dict[str, _LookingUp] = {}
        self._found: OrderedDict[str, tuple[float, _Found]] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()

    async def resolve(self, host: str, port: int) -> Addresses:
        """Return the addresses of `host` with `port`. Raises OSError, and `Busy` when it is our fault."""
        addresses = numeric(host, port)
        if addresses is None:
            begun, lookup = self._start(host)
            left = max(0.0, begun + ANSWER_SECONDS - asyncio.get_running_loop().time())
            await asyncio.wait([lookup], timeout=left)
            if not lookup.done():
                raise OSError(None, f"no name server answered within {ANSWER_SECONDS:g} s")
            found = lookup.result()
            if isinstance(found, OSError):
                raise type(found)(found.errno, found.strerror)
            addresses = found
        return [(*info[:4], (info[4][0], port, *info[4][2:])) for info in addresses]

    async def ready(self, host: str, seconds: float) -> bool:
        """Wait at most `seconds` for `host`. False while its addresses are not known yet.

        True when they are known, and also when there are none or its name server takes too long.
        """
        if numeric(host, 0) is not None:
            return True
        try:
            begun, lookup = self._start(host)
        except Busy:
            return False
        loop = asyncio.get_running_loop()
        until = min(loop.time() + seconds, begun + ANSWER_SECONDS)
        await asyncio.wait([lookup], timeout=max(0.0, until - loop.time()))
        return lookup.done() or loop.time() >= begun + ANSWER_SECONDS

    def _start(self, host: str) -> _LookingUp:
        """Return the lookup of `host`, and since when it runs: one that has begun, one remembered, or a new one."""
        loop = asyncio.get_running_loop()
        now, found = loop.time(), self._begun.get(host)
        if found is not None:
            return found
        lookup: asyncio.Future[_Found] = loop.create_future()
        until, result = self._found.get(host, (0.0, ()))
        if now < until:
            lookup.set_result(result)
            return now, lookup
        if len(self._begun) >= self._most + (KNOWN_SHARE if host in self._known else 0):
            raise Busy
        try:
            threading.Thread(target=self._run, args=(loop, host), name="resolve", daemon=True).start()
        except RuntimeError as error:  # there can be no more threads
            raise Busy from error
        self._begun[host] = (now, lookup)
        return now, lookup

    def _run(self, loop: asyncio.AbstractEventLoop, host: str) -> None:
        result: _Found
        try:
            result = self._look_up(host, 0)
        except OSError as error:
            result = error
        except ValueError:
            result = OSError(None, "not a host name")
        try:
            loop.call_soon_threadsafe(self._end, host, result)
        except RuntimeError:  # the loop was closed meanwhile
            return

    def _end(self, host: str, result: _Found) -> None:
        _, lookup = self._begun.pop(host)
        failed = isinstance(result, OSError)
        until = asyncio.get_running_loop().time() + (REMEMBER_FAILURE_SECONDS if failed else REMEMBER_SECONDS)
        _remember(self._found, host, (until, result))
        if not failed:
            _remember(self._known, host, None)
        lookup.set_result(result)


def numeric(host: str, port: int) -> Addresses | None:
    """Return the address that `host` is, in any notation that the system reads; None for a name."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return None


def _remember(memory: OrderedDict[str, Any], host: str, value: object) -> None:
    memory.pop(host, None)
    memory[host] = value
    if len(memory) > MOST_REMEMBERED:
        memory.popitem(last=False)
