"""A body is read whole or refused: too long, too slow, cut short, or with a length that is none."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from starlette.requests import Request
from starlette.types import Message

from receiver import bodies
from receiver.bodies import BodyRefused, read_body
from tests.receiver.house import House, callback_body

Receive = Callable[[], Awaitable[Message]]


def coming(*messages: Message) -> Receive:
    left = list(messages)

    async def receive() -> Message:
        if not left:
            await asyncio.Event().wait()  # nothing more ever comes
        return left.pop(0)

    return receive


def chunk(body: bytes, *, more: bool = True) -> Message:
    return {"type": "http.request", "body": body, "more_body": more}


def request(receive: Receive, **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, receive)


async def test_a_body_in_pieces_is_one_body() -> None:
    receive = coming(chunk(b"ab"), chunk(b""), chunk(b"cd", more=False))
    assert await read_body(request(receive), 4) == b"abcd"


async def test_a_body_of_exactly_the_limit_is_read_and_one_byte_more_is_not() -> None:
    assert await read_body(request(coming(chunk(b"abcd", more=False)), content_length="4"), 4) == b"abcd"
    with pytest.raises(BodyRefused) as refused:
        await read_body(request(coming(chunk(b"abcde"))), 4)
    assert (refused.value.reason, refused.value.status) == ("body_too_long", 413)
    assert "MAX_BODY_BYTES" in refused.value.detail


@pytest.mark.parametrize("length", ["5", "9" * 15, "9" * 5000])
async def test_a_body_that_says_it_is_too_long_is_not_waited_for(length: str) -> None:
    with pytest.raises(BodyRefused) as refused:
        await read_body(request(coming(), content_length=length), 4)
    assert refused.value.reason == "body_too_long"


@pytest.mark.parametrize("length", ["", "-1", "+1", "1.0", "0x4", "4, 4", "many"])
async def test_a_length_that_is_none_is_refused(length: str) -> None:
    with pytest.raises(BodyRefused) as refused:
        await read_body(request(coming(), content_length=length), 4)
    assert (refused.value.reason, refused.value.status) == ("content_length_malformed", 400)


async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    with pytest.raises(BodyRefused) as refused:
        await read_body(request(coming(chunk(b"a"))), 4)
    assert (refused.value.reason, refused.value.status) == ("body_too_slow", 408)


async def test_a_connection_that_ends_first_is_no_mistake_of_ours() -> None:
    with pytest.raises(BodyRefused) as refused:
        await read_body(request(coming(chunk(b"a"), {"type": "http.disconnect"})), 4)
    assert (refused.value.reason, refused.value.status) == ("body_cut_short", 400)


async def test_a_callback_that_comes_too_slowly_changes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    async def dribble() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.Event().wait()

    monkeypatch.setattr(bodies, "BODY_SECONDS", 0.05)
    job_id = await house.story.submit()
    before = await house.dump()
    path = f"/callbacks/fal/{house.tokens.sign(job_id)}"
    response = await house.http.post(path, content=dribble(), headers=house.fal.sign(callback_body()))
    assert response.status_code == 408
    assert await house.dump() == before
    assert [fact["reason"] for fact in house.heard.named("callback.refused")] == ["body_too_slow"]
    assert house.counted("callback.refused", provider="fal", reason="body_too_slow") == 1
