"""Whether PUBLIC_URL leads to a receiver, and NOTIFY_URL to an address that notifications may go to."""

import socket

import pytest

from outbound.client import Client, open_transport
from outbound.targets import GuardedResolver, Targets
from receiver.reachability import why_unreachable, why_unresolved
from tests.outbound.loopback import Connection, refused_port, serve
from tests.receiver.harness import Receiver


async def why(url: str) -> str | None:
    transport = open_transport(connections=1)
    try:
        return await why_unreachable(url, Client(transport, seconds=5, max_bytes=1000))
    finally:
        await transport.aclose()


async def test_an_address_where_a_receiver_answers_is_reached(receiver: Receiver) -> None:
    alive = (await receiver.http.get("/healthz")).content

    async def behave(connection: Connection) -> None:
        assert (await connection.read_request()).startswith(b"GET /base/healthz ")
        await connection.respond(alive)

    async with serve(behave) as server:
        assert await why(f"{server.url}/base") is None


@pytest.mark.parametrize(
    ("status", "headers", "words"),
    [
        (b"301 Moved", [b"Location: https://www.example.com/healthz"], "it redirects to https://www.example.com, and"),
        (b"308 Moved", [b"Location: /healthz/"], "it redirects to another path, and providers follow no redirect"),
        (b"404 Not Found", [], "what answers at its /healthz (404) is no receiver"),
        (b"200 OK", [], "what answers at its /healthz (200) is no receiver"),
    ],
)
async def test_what_answers_instead_of_a_receiver_is_named(status: bytes, headers: list[bytes], words: str) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond(b"<h1>Welcome</h1>", *headers, status=status)

    async with serve(behave) as server:
        assert str(await why(server.url)).startswith(words)


async def test_an_address_where_nothing_answers_is_named_with_the_reason() -> None:
    with refused_port() as url:
        fault = await why(url)
    assert str(fault).startswith("this machine does not reach it (")
    assert "Connect call failed" in str(fault)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
async def test_a_private_host_of_notifications_is_flagged_unless_it_is_allowed(host: str) -> None:
    fault = await why_unresolved(host, GuardedResolver(Targets(())))
    assert str(fault).startswith("no notification will be sent there: ")
    assert "ALLOW_PRIVATE_TARGETS" in str(fault)
    assert await why_unresolved(host, GuardedResolver(Targets((host,)))) is None


async def test_a_host_of_notifications_that_does_not_exist_is_flagged(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    fault = await why_unresolved("nowhere.example", GuardedResolver(Targets(())))
    assert fault == "its host is not found (Name or service not known)"
