"""Responses: read whole within limits, redirects not followed, and nothing sent twice."""

import asyncio
import zlib
from pathlib import Path
from urllib.parse import parse_qs, quote

import pytest

from providers.http import NeverSent, Request, Response, Unread
from tests.outbound.loopback import Connection, result_of, serve, until
from tests.outbound.test_outbound_client import post
from tests.submitter.conftest import Opening


async def test_a_response_is_read_whole_with_header_names_in_lower_case(opening: Opening) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond(b'{"a": 1}', b"X-Fal-Request-ID: R", b"RETRY-AFTER: 3", status=b"503 Busy")

    async with serve(behave) as there:
        got = await opening()(post(there.url))
    assert (got.status, got.body) == (503, b'{"a": 1}')
    assert (got.headers["x-fal-request-id"], got.headers["retry-after"]) == ("R", "3")
    assert all(name == name.lower() for name in got.headers)


async def test_the_request_arrives_as_it_was_built(opening: Opening) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond()

    webhook = "https://hooks.example/callbacks/fal/job_1.a-b_c?a=b&c=d+e%20f#g"
    async with serve(behave) as there:
        headers = {"Authorization": "Key kid:secret", "Content-Type": "application/json"}
        url = f"{there.url}/half-moon/a%2Fb%3Fc?fal_webhook={quote(webhook, safe='')}"
        await opening()(Request(method="POST", url=url, headers=headers, body=b'{"x": 1}'))
        head, _, body = there.received.decode().partition("\r\n\r\n")
    first, *rest = head.split("\r\n")
    method, target, version = first.split(" ")
    path, _, query = target.partition("?")
    assert (method, path, version) == ("POST", "/half-moon/a%2Fb%3Fc", "HTTP/1.1")
    assert parse_qs(query) == {"fal_webhook": [webhook]}
    sent = [header.lower() for header in rest]
    assert "authorization: key kid:secret" in sent
    assert [header for header in sent if header.startswith("accept-encoding:")] == ["accept-encoding: identity"]
    assert body == '{"x": 1}'


async def test_a_redirect_is_returned_and_not_followed(opening: Opening) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond(b"", b"Location: /elsewhere", status=b"307 Temporary Redirect")

    async with serve(behave) as there:
        assert (await opening()(post(there.url))).status == 307
        assert there.received.count(b"POST ") == 1


async def test_a_compressed_response_is_decompressed(opening: Opening) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond(zlib.compress(b'{"request_id": "r"}', wbits=31), b"Content-Encoding: gzip")

    async with serve(behave) as there:
        assert (await opening()(post(there.url))).body == b'{"request_id": "r"}'


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("layers", [1, 2])
async def test_a_compressed_response_cannot_exceed_the_limit(
    layers: int, cut: bool, opening: Opening, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b"\0" * 50_000_000
    for _ in range(layers):
        body = zlib.compress(body, level=9, wbits=31)
    encoding = b"Content-Encoding: " + b", ".join([b"gzip"] * layers)

    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond(body, encoding)

    import tracemalloc

    async with serve(behave) as there:
        send = opening(status_suffices=cut, max_bytes=2048)
        tracemalloc.start()
        try:
            ended = await result_of(send(post(there.url)))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 5_000_000
    assert isinstance(ended, Response if cut else Unread)
    assert not isinstance(ended, Response) or len(ended.body) <= 2048


async def test_a_long_response_is_cut_with_cut(opening: Opening) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000\r\n\r\n" + b"a" * 10_000)
        await asyncio.Event().wait()

    async with serve(behave) as there:
        assert (await opening(status_suffices=True, max_bytes=2048)(post(there.url))).body == b"a" * 2048


async def test_a_response_of_exactly_the_limit_is_read(opening: Opening) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond(b"a" * 2048)

    async with serve(behave) as there:
        assert len((await opening(max_bytes=2048)(post(there.url))).body) == 2048
        assert isinstance(await result_of(opening(max_bytes=2047)(post(there.url))), Unread)


async def test_proxy_settings_and_netrc_are_ignored(
    opening: Opening, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond()

    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    netrc.chmod(0o600)
    async with serve(behave) as proxy, serve(behave) as there:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.setenv("NETRC", str(netrc))
        assert (await opening()(post(there.url))).status == 200
        assert (proxy.calls, there.calls) == (0, 1)
        assert b"authorization" not in there.received.lower()


async def test_cookies_are_not_kept(opening: Opening) -> None:
    async def behave(connection: Connection) -> None:
        while await connection.read_request():
            await connection.respond(b"{}", b"Set-Cookie: a=b; Path=/")

    async with serve(behave) as there:
        send = opening()
        await send(post(there.url))
        await send(post(there.url))
        assert b"cookie" not in there.received.lower()


async def test_no_more_connections_are_open_than_allowed(opening: Opening) -> None:
    gate = asyncio.Event()

    async def behave(connection: Connection) -> None:
        while await connection.read_request():
            await gate.wait()
            await connection.respond()

    async with serve(behave) as there:
        send = opening(connections=3)
        sending = [asyncio.ensure_future(send(post(there.url))) for _ in range(9)]
        await until(lambda: there.open == 3)
        gate.set()
        assert [got.status for got in await asyncio.gather(*sending)] == [200] * 9
        assert there.most_open == 3


@pytest.mark.parametrize("polite", [True, False])
async def test_a_connection_closed_between_requests_causes_no_second_request(polite: bool, opening: Opening) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond()
        if not polite:
            connection.reset()

    async with serve(behave) as there:
        send = opening()
        ended: dict[str, object] = {}
        for number in range(60):
            mark = f"mark-{number:03}-"
            ended[mark] = await result_of(send(post(there.url, mark)))
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(number % 5)))  # the close is seen sooner or later
        sent = {mark: there.times_sent(mark) for mark in ended}
    assert isinstance(ended["mark-000-"], Response)
    assert max(sent.values()) == 1
    assert all(sent[mark] == 0 for mark, error in ended.items() if isinstance(error, NeverSent))
    assert all(sent[mark] == 1 for mark, answer in ended.items() if isinstance(answer, Response))


async def test_a_kept_connection_that_fails_leaves_the_request_unread_and_sent_once(
    opening: Opening,
) -> None:
    async def behave(connection: Connection) -> None:
        await connection.read_request()
        await connection.respond()
        await connection.read_request()

    async with serve(behave) as there:
        send = opening()
        assert isinstance(await result_of(send(post(there.url, "first"))), Response)
        assert type(await result_of(send(post(there.url, "second")))) is Unread
        assert (there.times_sent("first"), there.times_sent("second"), there.calls) == (1, 1, 1)
