"""Request bodies: read completely, or refused if too long, truncated, or with a malformed length."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from starlette.types import Message, Receive

from receiver.web.bodies import BodyRefused, check_declared_length, read_body
from tests.receiver.harness import Receiver, callback_body


def coming(*messages: Message) -> Receive:
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()  # nothing more arrives
        return left.pop(0)

    return receive


def chunk(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


GONE: Message = {"type": "http.disconnect"}


async def test_chunks_are_joined_to_one_body() -> None:
    receive = coming(chunk(b"ab"), chunk(b""), chunk(b"cd", more=False))
    assert await read_body(receive, 4) == b"abcd"


@pytest.mark.parametrize(
    "last", [chunk(b"", more=False), {"type": "http.request"}, {"type": "http.request", "more_body": False}]
)
async def test_empty_bodies_and_empty_last_chunks_are_read(last: Message) -> None:
    assert await read_body(coming(last), 4) == b""
    assert await read_body(coming(chunk(b"ab"), last), 4) == b"ab"


@pytest.mark.parametrize("pieces", [[b"abcd"], [b"a", b"bcd"], [b"abcd", b""]])
async def test_a_body_of_the_limit_is_read_and_one_byte_more_is_refused(pieces: list[bytes]) -> None:
    whole = [chunk(piece) for piece in pieces[:-1]] + [chunk(pieces[-1], more=False)]
    assert await read_body(coming(*whole), 4) == b"abcd"
    with pytest.raises(BodyRefused) as refused:
        await read_body(coming(*whole), 3)
    assert (refused.value.reason, refused.value.status) == ("body_too_long", 413)
    assert "MAX_BODY_BYTES" in refused.value.detail


@pytest.mark.parametrize("pieces", [[b"abcde"], [b"abcd", b"e"]])
async def test_reading_stops_once_a_body_is_too_long(pieces: list[bytes]) -> None:
    with pytest.raises(BodyRefused) as refused:
        await read_body(coming(*map(chunk, pieces)), 4)
    assert refused.value.reason == "body_too_long"


@pytest.mark.parametrize("before", [[], [chunk(b"a")], [chunk(b"a"), chunk(b"b")]])
async def test_a_connection_closed_within_a_body_is_refused_as_cut_short(before: list[Message]) -> None:
    with pytest.raises(BodyRefused) as refused:
        await read_body(coming(*before, GONE), 4)
    assert (refused.value.reason, refused.value.status) == ("body_cut_short", 400)


def declared(*lengths: str) -> list[tuple[bytes, bytes]]:
    return [(b"host", b"x"), *((b"content-length", length.encode()) for length in lengths)]


@pytest.mark.parametrize("length", ["0", "4", "0004"])
def test_a_declared_length_within_the_limit_or_none_is_accepted(length: str) -> None:
    check_declared_length(declared(length), 4)
    check_declared_length(declared(), 4)


@pytest.mark.parametrize("length", ["5", "9" * 15, "9" * 5000])
def test_a_declared_length_over_the_limit_is_refused(length: str) -> None:
    with pytest.raises(BodyRefused) as refused:
        check_declared_length(declared(length), 4)
    assert (refused.value.reason, refused.value.status) == ("body_too_long", 413)


@pytest.mark.parametrize("length", ["", "-1", "+1", "1.0", "0x4", "4, 4", "many", "٤"])
def test_a_malformed_declared_length_is_refused(length: str) -> None:
    with pytest.raises(BodyRefused) as refused:
        check_declared_length(declared(length), 4)
    assert (refused.value.reason, refused.value.status) == ("content_length_malformed", 400)


@pytest.mark.parametrize(("second", "reason"), [("5", "body_too_long"), ("x", "content_length_malformed")])
def test_each_of_several_declared_lengths_is_checked(second: str, reason: str) -> None:
    with pytest.raises(BodyRefused) as refused:
        check_declared_length(declared("4", second), 4)
    assert refused.value.reason == reason


async def test_a_job_declared_too_long_gets_413_before_its_body(receiver: Receiver) -> None:
    async def never_read() -> AsyncIterator[bytes]:
        raise AssertionError("a body that says it is too long must not be read")
        yield b""

    headers = {"content-type": "application/json", "content-length": "999999"}
    assert (await receiver.http.post("/v1/jobs", content=never_read(), headers=headers)).status_code == 413


async def test_a_truncated_callback_changes_nothing(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    before = await receiver.dump()
    headers = [(name.encode(), value.encode()) for name, value in receiver.fal.sign(callback_body())]
    scope = {"type": "http", "method": "POST", "path": f"/callbacks/fal/{receiver.tokens.sign(job_id)}"}
    answer: list[Message] = []

    async def send(message: Message) -> None:
        answer.append(message)

    await receiver.app(scope | {"headers": headers}, coming(chunk(callback_body()), GONE), send)
    assert answer[0]["status"] == 400
    assert await receiver.dump() == before
    assert [fact["reason"] for fact in receiver.emitted.named("callback.refused")] == ["body_cut_short"]
    assert receiver.counted("callback.refused", provider="fal", reason="body_cut_short") == 1
