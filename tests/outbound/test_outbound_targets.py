"""Which addresses may be connected to: public ones, however embedded, and those that the settings allow."""

import contextlib
import ipaddress
import socket

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given, settings
from hypothesis import strategies as st

from outbound.targets import GuardedResolver, TargetRefused, Targets, ThreadedResolver

unhurried = settings(deadline=None)  # a busy machine is not a failure

NONE_ALLOWED = Targets(())

PRIVATE = {
    "loopback": ["127.0.0.1", "127.1.2.3", "::1"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1"],
    "link-local": ["169.254.1.1", "fe80::1", "fe80::1%eth0", "febf::1"],
    "metadata": ["169.254.169.254", "169.254.170.2", "fd00:ec2::254", "100.100.100.200", "192.0.0.192"],
    "CGNAT": ["100.64.0.1", "100.127.255.255"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "broadcast": ["255.255.255.255"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "reserved": ["240.0.0.1", "5f00::1", "4000::1"],
    "IETF assignments": ["192.0.0.1", "192.0.0.170"],
    "benchmarking": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "unique local": ["fc00::1", "fdff::1"],
    "site-local, of old": ["fec0::1", "feff::1"],
    "v4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:7f00:1", "::ffff:169.254.169.254"],
    "v4-compatible and translated": ["::127.0.0.1", "::7f00:1", "::ffff:0:127.0.0.1"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:c0a8:101::1", "2002:a9fe:a9fe::"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe"],
    "NAT64, local use": ["64:ff9b:1::127.0.0.1", "64:ff9b:1::10.0.0.1"],
    # the server and, inverted, the client that a Teredo address carries
    "Teredo": ["2001:0:7f00:1::", "2001:0:808:808::80ff:fffe", "2001::1"],
    "discard": ["100::1"],
}
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"]


@pytest.mark.parametrize("address", [each for some in PRIVATE.values() for each in some])
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    with pytest.raises(TargetRefused, match="not a public address; ALLOW_PRIVATE_TARGETS can name it"):
        NONE_ALLOWED.check_address(address)
    with pytest.raises(TargetRefused):
        NONE_ALLOWED.check_host(f"[{address}]" if ":" in address else address)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with pytest.raises(TargetRefused):
        NONE_ALLOWED.socket_factory((family, socket.SOCK_STREAM, 6, "", (address, 443)))


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    NONE_ALLOWED.check_address(address)
    NONE_ALLOWED.check_host(f"[{address}]" if ":" in address else address)


@pytest.mark.parametrize("host", ["localhost", "a.localhost"])
def test_localhost_is_refused_without_resolving_it(host: str) -> None:
    with pytest.raises(TargetRefused):
        NONE_ALLOWED.check_host(host)
    Targets([host]).check_host(host)
    Targets(["127.0.0.0/8"]).check_host(host)


def test_names_are_not_checked_before_they_are_resolved() -> None:
    for host in ("u.example", "10.0.0.1.u.example", "localhost.u.example", ""):
        NONE_ALLOWED.check_host(host)


@unhurried
@given(st.ip_addresses(v=4) | st.ip_addresses(v=6))
def test_any_address_is_allowed_or_refused(address: ipaddress.IPv4Address) -> None:
    for targets in (NONE_ALLOWED, Targets(["10.0.0.0/8", "fd00::/8", "u.example"])):
        with contextlib.suppress(TargetRefused):
            targets.check_address(str(address))
    if address.version == 4 and allowed(str(address)):
        assert address.is_global


@unhurried
@given(st.ip_addresses(v=4))
def test_embedding_does_not_make_a_private_address_public(address: ipaddress.IPv4Address) -> None:
    number = int(address)
    wrapped = [
        ipaddress.IPv6Address(0xFFFF << 32 | number),
        ipaddress.IPv6Address(0x2002 << 112 | number << 80),
        ipaddress.IPv6Address(0x64FF9B << 96 | number),
        ipaddress.IPv6Address(0x20010000 << 96 | number << 64),
    ]
    if not allowed(str(address)):
        assert not any(allowed(str(each)) for each in wrapped)


def allowed(address: str) -> bool:
    try:
        NONE_ALLOWED.check_address(address)
    except TargetRefused:
        return False
    return True


@unhurried
@given(st.text(max_size=60))
def test_any_host_is_allowed_or_refused(host: str) -> None:
    with contextlib.suppress(TargetRefused):
        NONE_ALLOWED.check_host(host)


def test_allowed_targets_are_addresses_and_networks() -> None:
    targets = Targets(["10.1.2.3", "192.168.0.0/16", "fd00::/8"])
    for address in ("10.1.2.3", "192.168.7.7", "fd12::1"):
        targets.check_address(address)
    for address in ("10.1.2.4", "172.16.0.1", "fe80::1", "127.0.0.1", "::ffff:10.1.2.4", "169.254.169.254"):
        with pytest.raises(TargetRefused):
            targets.check_address(address)


class Names(AbstractResolver):
    """A resolver that returns the given results one after the other, then the last one again."""

    def __init__(self, *answers: list[str]) -> None:
        self.responses = list(answers)

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        found = self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]
        return [
            ResolveResult(hostname=host, host=each, port=port, family=socket.AF_INET, proto=0, flags=0)
            for each in found
        ]

    async def close(self) -> None:
        return None


@pytest.mark.parametrize(
    "found", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["10.0.0.1", "8.8.8.8"]], ids=["private", "last", "first"]
)
async def test_a_name_with_any_private_address_is_refused(found: list[str]) -> None:
    with pytest.raises(TargetRefused):
        await GuardedResolver(NONE_ALLOWED, Names(found)).resolve("u.example")


async def test_a_name_with_public_addresses_is_resolved() -> None:
    results = await GuardedResolver(NONE_ALLOWED, Names(["8.8.8.8", "1.1.1.1"])).resolve("u.example", 443)
    assert [result["host"] for result in results] == ["8.8.8.8", "1.1.1.1"]


@pytest.mark.parametrize("host", ["inside.example", "INSIDE.example", "inside.example."])
async def test_an_allowed_name_may_resolve_to_any_address(host: str) -> None:
    targets = Targets(["inside.example"])
    await GuardedResolver(targets, Names(["10.0.0.1"])).resolve(host)
    targets.socket_factory((socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))).close()


async def test_an_allowed_name_allows_neither_its_address_nor_another_name() -> None:
    targets = Targets(["inside.example"])
    resolver = GuardedResolver(targets, Names(["10.0.0.1"]))
    await resolver.resolve("inside.example")
    with pytest.raises(TargetRefused):
        targets.check_host("10.0.0.1")
    for host in ("outside.example", "sub.inside.example", "inside.example.evil"):
        with pytest.raises(TargetRefused):
            await resolver.resolve(host)


async def test_addresses_of_allowed_names_are_bounded() -> None:
    targets = Targets(["inside.example"])
    await GuardedResolver(targets, Names([f"10.0.{n >> 8}.{n & 255}" for n in range(3000)])).resolve("inside.example")
    assert len(targets._granted) <= 1024


async def test_names_are_resolved_on_separate_threads() -> None:
    resolver = ThreadedResolver(threads=1)
    found = await resolver.resolve("localhost", 80, socket.AF_INET)
    assert [(each["host"], each["port"]) for each in found] == [("127.0.0.1", 80)]
    with pytest.raises(OSError, match=r"."):
        await resolver.resolve("no-such-name.invalid", 80)
    await resolver.close()
