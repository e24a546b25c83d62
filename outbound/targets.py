"""The SSRF guard: notifications go to public addresses only, except for those that the settings allow.

Every address that a name resolves to is checked, and the one connected to is checked again at the socket, so that it
cannot change in between. Addresses that embed another (v4-mapped, 6to4, Teredo, NAT64) are unwrapped.
"""

import asyncio
import errno
import functools
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # https://www.rfc-editor.org/rfc/rfc6052


_ALSO_NOT_PUBLIC = (
    # Networks that the ipaddress module of some Python versions considers global.
    ipaddress.IPv4Network("192.0.0.0/24"),  # https://www.rfc-editor.org/rfc/rfc6890; a metadata service at .192
    ipaddress.IPv6Network("fec0::/10"),  # https://www.rfc-editor.org/rfc/rfc3879
    ipaddress.IPv6Network(
        "64:ff9b:1::/48"
    ),  # https://www.rfc-editor.org/rfc/rfc8215: where the embedded address is depends on its user
    ipaddress.IPv6Network("3fff::/20"),  # https://www.rfc-editor.org/rfc/rfc9637
)


class TargetRefused(OSError):
    """The target is not a public address, and ALLOW_PRIVATE_TARGETS does not name it."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EACCES, message)  # aiohttp shows only the `strerror` of an OSError

    def __str__(self) -> str:
        return str(self.strerror)


class Targets:
    """Decides which addresses and names may be connected to. `allowed` are the values of ALLOW_PRIVATE_TARGETS."""

    def __init__(self, allowed: Sequence[str]) -> None:
        self._networks: list[Network] = []
        self._names: set[str] = set()
        self._granted: set[Address] = set()
        for entry in allowed:
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                self._names.add(entry)

    def check_address(self, text: str) -> None:
        """Raise TargetRefused unless the address may be connected to."""
        address = _bare(text)
        if any(address in network for network in self._networks):
            return
        if not all(_is_public(each) for each in unwrapped(address)):
            raise TargetRefused(f"{address} is not a public address; ALLOW_PRIVATE_TARGETS can name it")

    def check_host(self, host: str) -> None:
        """Raise TargetRefused for a literal address or a name of loopback that may not be connected to."""
        bare = host.strip("[]")
        if _is_address(bare):
            self.check_address(bare)
        elif (bare == "localhost" or bare.endswith(".localhost")) and bare not in self._names:
            self.check_address("127.0.0.1")

    def allows_name(self, host: str) -> bool:
        """Return whether the name itself is allowed, whatever it resolves to."""
        return host.lower().rstrip(".") in self._names

    def grant(self, text: str) -> None:
        """Allow sockets to an address that an allowed name resolved to; the literal address is still refused."""
        if len(self._granted) >= 1024:  # allowed names are few; this only bounds the memory
            self._granted.clear()
        self._granted.add(_bare(text))

    def socket_factory(self, addr_info: Any) -> socket.socket:
        """Make the socket for one connection, after a last check of its address. Raises TargetRefused."""
        family, kind, protocol, _, address = addr_info
        if _bare(address[0]) not in self._granted:
            self.check_address(address[0])
        return socket.socket(family, kind, protocol)


class ThreadedResolver(AbstractResolver):
    """Resolve names on its own threads: the slow name server of one endpoint must not delay other names."""

    def __init__(self, threads: int = 32) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolve")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve `host`. Raises OSError when there is no such name."""
        resolve = functools.partial(socket.getaddrinfo, host, port, family, socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, resolve)
        return [
            ResolveResult(
                hostname=host, host=str(address[0]), port=port, family=kind, proto=0, flags=socket.AI_NUMERICHOST
            )
            for kind, _, _, _, address in found
        ]

    async def close(self) -> None:
        """Stop the threads without waiting for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class GuardedResolver(AbstractResolver):
    """Resolve names, and refuse those with any address that may not be connected to."""

    def __init__(self, targets: Targets, resolver: AbstractResolver | None = None) -> None:
        self._targets = targets
        self._resolver = resolver or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Resolve `host`. Raises TargetRefused, or OSError when there is no such name."""
        results = await self._resolver.resolve(host, port, family)
        for result in results:
            if self._targets.allows_name(host):
                self._targets.grant(result["host"])
            else:
                self._targets.check_address(result["host"])
        return results

    async def close(self) -> None:
        """Close the underlying resolver."""
        await self._resolver.close()


def unwrapped(address: Address) -> list[Address]:
    """Return the address and every address that it embeds."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return unwrapped(address.ipv4_mapped)
        if address.sixtofour:
            found.append(address.sixtofour)
        if address.teredo:
            found.extend(address.teredo)
        if address in _NAT64:
            return [ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)]
    return found


def _bare(text: str) -> Address:
    return ipaddress.ip_address(text.partition("%")[0])  # without the zone of a link-local address


def _is_public(address: Address) -> bool:
    if any(address in network for network in _ALSO_NOT_PUBLIC):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
