"""The SSRF guard: notifications go to public addresses only, except for those that the settings allow.

Every address that a name resolves to is checked, and the one connected to is checked again at the socket, so that it
cannot change in between. Addresses that embed another (v4-mapped, 6to4, Teredo, NAT64) are unwrapped.
"""

import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

from outbound.names import Addresses, AddressInfo

SEND_BUFFER = 65_536
"""Bytes that the system buffers for a connection (it takes twice as much). Its default is megabytes for each endpoint
that does not read."""

Resolve = Callable[[str, int], Awaitable[Addresses]]
SocketFactory = Callable[[AddressInfo], socket.socket]
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # https://www.rfc-editor.org/rfc/rfc6052
_ISATAP = 0x0000_5EFE
"""Before the IPv4 address in the lower half of an ISATAP address. https://www.rfc-editor.org/rfc/rfc5214#section-6.1"""

_ALSO_NOT_PUBLIC = (
    # Networks that the ipaddress module of some Python versions considers global.
    ipaddress.IPv4Network("168.63.129.16/32"),  # Azure's platform, reachable from its virtual machines alone
    ipaddress.IPv4Network("192.0.0.0/24"),  # https://www.rfc-editor.org/rfc/rfc6890; a metadata service at .192
    ipaddress.IPv4Network("192.88.99.0/24"),  # https://www.rfc-editor.org/rfc/rfc7526: relays of 6to4, deprecated
    ipaddress.IPv6Network("fec0::/10"),  # https://www.rfc-editor.org/rfc/rfc3879
    ipaddress.IPv6Network(
        "64:ff9b:1::/48"
    ),  # https://www.rfc-editor.org/rfc/rfc8215: where the embedded address is depends on its user
    ipaddress.IPv6Network("3fff::/20"),  # https://www.rfc-editor.org/rfc/rfc9637
)


class TargetRefused(OSError):
    """The target is not a public address, and ALLOW_PRIVATE_TARGETS does not name it."""

    def __init__(self, message: str) -> None:
        super().__init__(errno.EACCES, message)  # only the `strerror` of an OSError is shown

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

    def socket_factory(self, addr_info: AddressInfo) -> socket.socket:
        """Make the socket for one connection, after a last check of its address. Raises TargetRefused."""
        family, kind, protocol, _, address = addr_info
        if _bare(address[0]) not in self._granted:
            self.check_address(address[0])
        made = socket.socket(family, kind, protocol)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        return made


class GuardedNames:
    """Resolve names, and refuse those with any address that may not be connected to."""

    def __init__(self, targets: Targets, resolve: Resolve) -> None:
        self._targets = targets
        self._resolve = resolve

    async def resolve(self, host: str, port: int) -> Addresses:
        """Return the addresses of `host`. Raises TargetRefused, or OSError when there is no such name."""
        addresses = await self._resolve(host, port)
        for info in addresses:
            if self._targets.allows_name(host):
                self._targets.grant(info[4][0])
            else:
                self._targets.check_address(info[4][0])
        return addresses


def unwrapped(address: Address) -> list[Address]:
    """Return the address and every address that it embeds."""
    found: list[Address] = [address]
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped:
            return unwrapped(address.ipv4_mapped)
        if address.sixtofour:
            found += unwrapped(address.sixtofour)
        if address.teredo:
            found.extend(address.teredo)
        if address in _NAT64:
            return [_last_32_bits(address)]
        if int(address) >> 32 & 0xFCFF_FFFF == _ISATAP:
            found.append(_last_32_bits(address))
    return found


def _last_32_bits(address: ipaddress.IPv6Address) -> Address:
    return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)


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
