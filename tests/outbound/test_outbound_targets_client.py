"""The SSRF guard in the real client: no private address is connected to, however it is written or resolved."""

import contextlib

import pytest

from outbound.client import Client, open_transport
from outbound.targets import Resolve, TargetRefused, Targets
from providers.http import NeverSent, Request, Unread
from tests.outbound.test_outbound_targets import Names
from tests.receiver.endpoints import Endpoint, guarded_client


async def refused(endpoint: Endpoint, host: str, targets: Targets, resolve: Resolve | None = None) -> str:
    """POST to `host` at the endpoint's port; it must not arrive. Returns the words of the refusal."""
    async with guarded_client(targets, resolve) as send:
        with pytest.raises((NeverSent, Unread)) as caught:
            await send(Request(method="POST", url=f"http://{host}:{endpoint.port}/", headers={}))
    assert endpoint.received == []
    return str(caught.value)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f.1",
        "0x7f000001",
        "0177.0.0.1",
        "017700000001",
        "0",
        "0.0.0.0",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:7f00:0001]",
        "%31%32%37.0.0.1",
        "①②⑦.0.0.1",
        "127。0。0。1",
    ],
)
async def test_loopback_in_any_notation_is_not_connected_to(endpoint: Endpoint, host: str) -> None:
    await refused(endpoint, host, Targets(()))


async def test_the_endpoint_of_these_tests_answers_when_allowed(endpoint: Endpoint) -> None:
    async with guarded_client(Targets(["127.0.0.1"])) as send:
        answer = await send(Request(method="POST", url=endpoint.url, headers={}))
    assert (answer.status, len(endpoint.received)) == (200, 1)


async def test_a_refusal_says_what_was_refused(endpoint: Endpoint) -> None:
    assert "127.0.0.1 is not a public address" in await refused(endpoint, "127.0.0.1", Targets(()))
    words = await refused(endpoint, "u.example", Targets(()), Names(["10.0.0.1"]).resolve)
    assert "10.0.0.1 is not a public address" in words


async def test_a_name_with_one_public_and_one_private_address_is_not_connected_to(endpoint: Endpoint) -> None:
    await refused(endpoint, "u.example", Targets(()), Names(["8.8.8.8", "127.0.0.1"]).resolve)


async def test_a_name_is_checked_again_when_its_address_changes(endpoint: Endpoint) -> None:
    targets, names = Targets(()), Names(["8.8.8.8"], ["127.0.0.1"])
    assert (await names.resolve("u.example", 80))[0][4][0] == "8.8.8.8"
    await refused(endpoint, "u.example", targets, names.resolve)


async def test_an_address_that_passes_the_resolver_is_refused_at_the_socket(endpoint: Endpoint) -> None:
    """A resolver that is not guarded stands for one that is fooled: the address connected to is judged by itself."""
    targets = Targets(())
    client = open_transport(connections=1, socket_factory=targets.socket_factory, resolve=Names(["127.0.0.1"]).resolve)
    async with contextlib.aclosing(client):
        with pytest.raises(NeverSent, match="not a public address"):
            await Client(client, seconds=5, max_bytes=100)(
                Request(method="POST", url=f"http://u.example:{endpoint.port}/", headers={})
            )
    assert endpoint.received == []


async def test_a_name_is_resolved_for_every_connection(endpoint: Endpoint) -> None:
    """Addresses are not remembered: the second resolution counts."""
    targets, names = Targets(["127.0.0.1"]), Names(["127.0.0.1"], ["127.0.0.2"])
    async with guarded_client(targets, names.resolve) as send:
        url = f"http://u.example:{endpoint.port}/"
        assert (await send(Request(method="POST", url=url, headers={}))).status == 200
        with pytest.raises((NeverSent, Unread), match=r"127\.0\.0\.2 is not a public address"):
            await send(Request(method="POST", url=url, headers={}))
    assert len(endpoint.received) == 1


async def test_an_allowed_name_is_connected_to_and_its_address_is_not(endpoint: Endpoint) -> None:
    targets, names = Targets(["inside.example"]), Names(["127.0.0.1"])
    async with guarded_client(targets, names.resolve) as send:
        url = f"http://inside.example:{endpoint.port}/"
        assert (await send(Request(method="POST", url=url, headers={}))).status == 200
    with pytest.raises(TargetRefused):
        targets.check_host("127.0.0.1")
    with pytest.raises((NeverSent, Unread)):
        async with guarded_client(targets, names.resolve) as send:
            await send(Request(method="POST", url=f"http://outside.example:{endpoint.port}/", headers={}))
    assert len(endpoint.received) == 1
