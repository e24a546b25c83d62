"""The receiver behind its own protocol, over sockets: jobs and callbacks as clients, proxies and JDKs send them."""

import json

import msgspec
import pytest

from tests.receiver.callers import Caller, said, serving, statuses
from tests.receiver.harness import API_KEY, LIMIT, Headers, Receiver, callback_body

AUTHORIZED = [("Authorization", f"Bearer {API_KEY}"), ("Content-Type", "application/json")]
CLOSE = ("Connection", "close")
JDK = [("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAEAAEAAAAIAAAABAAMAAABkAAQ")]
JOB = b'{"provider":"fal","model":"a/b","input":{}}'
LARGE = b"x" * 8_000_000


def post(path: str, body: bytes, headers: Headers, *, length: str = "") -> bytes:
    fields = [("Host", "x"), ("Content-Length", length or str(len(body))), *headers]
    head = "\r\n".join([f"POST {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields), "", ""])
    return head.encode() + body


def documents(received: bytes) -> list[dict[str, object]]:
    """Return the JSON of each response."""
    return [json.loads(part.partition(b"\r\n\r\n")[2]) for part in received.split(b"HTTP/1.1 ")[1:]]


async def callback(receiver: Receiver) -> tuple[str, bytes, Headers]:
    """Return the path, the body and the headers of the callback of a new job."""
    path = f"/callbacks/fal/{receiver.tokens.sign(await receiver.scenario.submit())}"
    return path, callback_body(), receiver.fal.sign(callback_body())


@pytest.mark.parametrize("blank", [" ", "\t", " \t "])
async def test_blanks_after_signed_headers_and_lengths_are_no_part_of_them(receiver: Receiver, blank: str) -> None:
    path, body, headers = await callback(receiver)
    spaced = [(name, value + blank) for name, value in headers]
    async with serving(receiver.app) as port:
        received = await said(port, post(path, body, [*spaced, CLOSE], length=f"{len(body)}{blank}"))
    assert documents(received) == [{"result": "recorded"}]


async def test_blanks_after_an_idempotency_key_make_no_other_key(receiver: Receiver) -> None:
    sent = [
        post("/v1/jobs", JOB, [*AUTHORIZED, ("Idempotency-Key", key)]) for key in ("order-1", "order-1 ", "order-1\t")
    ]
    async with serving(receiver.app) as port, Caller(port) as caller:
        await caller.say(*sent)
        caller.half_close()
        received = await caller.rest()
    assert statuses(received) == [202, 202, 202]
    assert len({job["id"] for job in documents(received)}) == 1


async def test_signed_headers_that_are_there_twice_with_equal_values_count_once(receiver: Receiver) -> None:
    path, body, headers = await callback(receiver)
    async with serving(receiver.app) as port:
        received = await said(port, post(path, body, [*headers, *headers, CLOSE]))
    assert documents(received) == [{"result": "recorded"}]


@pytest.mark.parametrize("split", [False, True], ids=["one packet", "body in a packet of its own"])
async def test_the_jdk_submits_jobs_and_sends_callbacks_over_plain_http(receiver: Receiver, split: bool) -> None:
    path, body, headers = await callback(receiver)
    sent = []
    for request, size in (
        (post(path, body, [*headers, *JDK]), len(body)),
        (post("/v1/jobs", JOB, [*AUTHORIZED, *JDK]), len(JOB)),
    ):
        sent += [request[:-size], request[-size:]] if split else [request]
    async with serving(receiver.app) as port, Caller(port) as caller:
        await caller.say(*sent)
        caller.half_close()
        received = await caller.rest()
    assert statuses(received) == [200, 202]
    assert documents(received)[0] == {"result": "recorded"}


@pytest.mark.parametrize("upgrade", ["websocket", "h2c"])
@pytest.mark.parametrize(("path", "status"), [("/healthz", 200), ("/v1/jobs", 401), ("/callbacks/fal/x", 405)])
async def test_an_upgrade_of_any_route_is_answered_as_if_it_were_not_there(
    receiver: Receiver, path: str, status: int, upgrade: str
) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\n"
    asked = head + f"Connection: Upgrade, close\r\nUpgrade: {upgrade}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    async with serving(receiver.app) as port:
        received = await said(port, asked.encode())
        expected = await said(port, head.encode() + b"Connection: close\r\n\r\n")
    assert statuses(received) == [status]
    assert received.partition(b"\r\n\r\n")[2] == expected.partition(b"\r\n\r\n")[2]


async def test_a_callback_whose_sender_half_closes_is_recorded_and_answered(receiver: Receiver) -> None:
    path, body, headers = await callback(receiver)
    async with serving(receiver.app) as port, Caller(port) as caller:
        await caller.say(post(path, body, headers))
        caller.half_close()
        assert documents(await caller.rest()) == [{"result": "recorded"}]


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/v1/jobs", [], 401),
        ("/v1/nothing", AUTHORIZED, 404),
        ("/v1/jobs", AUTHORIZED, 413),
        ("/callbacks/fal/forged", [], 413),
        ("/callbacks/unknown/x", [], 404),
    ],
)
async def test_what_refuses_a_large_body_early_arrives_although_all_of_it_is_sent(
    receiver: Receiver, path: str, headers: Headers, status: int
) -> None:
    assert len(LARGE) > LIMIT
    async with serving(receiver.app) as port, Caller(port) as caller:
        assert await caller.sent(post(path, LARGE, headers))
        received = await caller.rest()
    assert statuses(received) == [status]
    assert b"\r\nconnection: close\r\n" in received


@pytest.mark.parametrize("path", ["/v1/jobs", "/callbacks/fal/x", "/healthz"])
@pytest.mark.parametrize(
    ("request_line", "fields", "status"),
    [
        ("GET {path}?" + "x" * 70_000 + " HTTP/1.1", "Host: x\r\n", 414),
        ("BREW {path} HTTP/1.1", "Host: x\r\n", 501),
        ("GET {path}", "Host: x\r\n", 400),
        ("GET {path} HTTP/1.1", "Host: x\r\nno colon\r\n", 400),
        ("GET {path} HTTP/1.1", "", 400),
        ("POST {path} HTTP/1.1", "Host: x\r\nTransfer-Encoding: gzip, chunked\r\n", 400),
    ],
)
async def test_what_cannot_be_read_gets_a_problem_document_on_every_path(
    receiver: Receiver, path: str, request_line: str, fields: str, status: int
) -> None:
    sent = f"{request_line.format(path=path)}\r\n{fields}\r\n".encode()
    async with serving(receiver.app) as port:
        received = await said(port, sent, b"0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
    head, _, body = received.partition(b"\r\n\r\n")
    assert statuses(received) == [status]  # what follows is no request
    assert b"\r\ncontent-type: application/problem+json\r\n" in head
    problem = msgspec.json.decode(body)
    assert problem["status"] == status
    assert problem["detail"]
