"""Resolving names: one that no server answers for delays no other, and is no reason to wait for ever."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from outbound import names as module
from outbound.names import Addresses, Busy, Names


class NameServers:
    """Looks names up: `well.*` at once, `gone.*` is no name, all others when `answer` is set."""

    def __init__(self) -> None:
        self.answer = threading.Event()
        self.asked: list[str] = []

    def look_up(self, host: str, port: int) -> Addresses:
        self.asked.append(host)
        if host.startswith("gone."):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        if not host.startswith("well."):
            self.answer.wait(20)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))]


@pytest.fixture
def servers() -> Iterator[NameServers]:
    servers = NameServers()
    yield servers
    servers.answer.set()


@contextlib.asynccontextmanager
async def resolving(names: Names, hosts: list[str]) -> AsyncIterator[None]:
    """Resolve the hosts in the background."""
    tasks = [asyncio.create_task(names.ready(host, 60)) for host in hosts]
    await asyncio.sleep(0)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_600_names_without_an_answer_delay_no_other(servers: NameServers) -> None:
    names = Names(most=1024, look_up=servers.look_up)
    async with resolving(names, [f"silent{number}.example" for number in range(600)]), asyncio.timeout(5):
        assert await names.resolve("well.example", 443) == [(2, 1, 6, "", ("8.8.8.8", 443))]
        assert await names.ready("well.other.example", 1)


async def test_a_name_that_was_resolved_before_has_a_share_that_others_cannot_use(
    servers: NameServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REMEMBER_SECONDS", 0.0)
    names = Names(most=3, look_up=servers.look_up)
    await names.resolve("well.example", 443)
    async with resolving(names, [f"silent{number}.example" for number in range(3)]), asyncio.timeout(5):
        assert await names.resolve("well.example", 443)
        with pytest.raises(Busy):
            await names.resolve("well.other.example", 443)
        assert not await names.ready("well.other.example", 1)


async def test_a_name_without_an_answer_fails_in_time_and_says_so(
    servers: NameServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    names = Names(most=8, look_up=servers.look_up)
    with pytest.raises(OSError, match=r"no name server answered within 0\.05 s"):
        await names.resolve("silent.example", 443)
    assert await names.ready("silent.example", 10)  # it is known that it takes too long
    assert servers.asked == ["silent.example"]  # one look-up, however often it is asked for


async def test_a_name_is_not_ready_while_it_is_looked_up_and_is_when_it_was(servers: NameServers) -> None:
    names = Names(most=8, look_up=servers.look_up)
    assert not await names.ready("slow.example", 0.01)
    servers.answer.set()
    assert await names.ready("slow.example", 10)
    assert await names.resolve("slow.example", 80) == [(2, 1, 6, "", ("8.8.8.8", 80))]
    assert servers.asked == ["slow.example"]


async def test_a_name_that_does_not_exist_is_an_error_for_a_while(servers: NameServers) -> None:
    names = Names(most=8, look_up=servers.look_up)
    assert await names.ready("gone.example", 10)
    for _ in range(2):
        with pytest.raises(OSError, match="not known"):
            await names.resolve("gone.example", 443)
    assert servers.asked == ["gone.example"]


@pytest.mark.parametrize(
    ("host", "address"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1"), ("127.1", "127.0.0.1"), ("0x7f.1", "127.0.0.1")]
)
async def test_an_address_in_any_notation_needs_no_look_up(host: str, address: str, servers: NameServers) -> None:
    names = Names(most=0, look_up=servers.look_up)
    assert await names.ready(host, 0)
    assert [(info[4][0], info[4][1]) for info in await names.resolve(host, 80)] == [(address, 80)]
    assert servers.asked == []


async def test_the_systems_resolver_is_asked() -> None:
    names = Names(most=8)
    assert ("127.0.0.1", 80) in [info[4][:2] for info in await names.resolve("localhost", 80)]
    for host in ("no-such-name.invalid", "a" * 300, "a..b"):
        with pytest.raises(OSError, match=r"."):
            await names.resolve(host, 80)


async def test_what_is_remembered_is_bounded(servers: NameServers, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 5)
    names = Names(most=8, look_up=servers.look_up)
    for number in range(20):
        await names.resolve(f"well.{number}.example", 80)
    assert (len(names._found), len(names._known), len(names._begun)) == (5, 5, 0)
