"""However large a callback or a result is, and whatever it holds, the event loop is free again within 50 ms."""

import base64
from collections.abc import AsyncIterator

import httpx
import msgspec
import pytest

from ledger.records import JobState
from tests.database import ON_BOTH_DATABASES
from tests.loop_time import LoopTime
from tests.receiver.conftest import MakeReceiver
from tests.receiver.harness import SENT, Receiver

LONGEST_SECONDS = 0.05
SIZE = 4_000_000
FILE = b'{"url":"https://a.example/1"}'


def many(element: bytes) -> bytes:
    return b'{"x":[' + b",".join([element] * (SIZE // (len(element) + 1))) + b'],"video":' + FILE + b"}"


PAYLOADS = {
    **{
        name: many(name.encode())
        for name in (
            *("1e300", "1.5", "-0.0", "1e400", "-1e-300", "123", "9" * 30, "0.12345678901234567", "NaN"),
            *("null", "[]", "{}", "[[1]]", '{"a":1}', '{"a":{"b":[1e300]}}', '"a"', '"\\u00e9"', '"\\ud800"'),
        )
    },
    "small files": b"[" + b",".join(b'{"url":"https://a.example/%d"}' % n for n in range(SIZE // 40)) + b"]",
    "fields": b"{" + b",".join(b'"k%d":1e300' % n for n in range(SIZE // 14)) + b',"video":' + FILE + b"}",
    "90,000 levels": b"[" * 90_000 + FILE + b"]" * 90_000,
    "one text": b'{"x":"' + b"a" * SIZE + b'","video":' + FILE + b"}",
    "escapes": b'{"x":"' + b"\\n" * (SIZE // 2) + b'","video":' + FILE + b"}",
    "one number": b'{"x":' + b"1" * SIZE + b',"video":' + FILE + b"}",
    "blanks": b'{"x":' + b" " * SIZE + b'1,"video":' + FILE + b"}",
    "an embedded file": b'{"url":"data:video/mp4;base64,' + base64.b64encode(bytes(SIZE * 3 // 4)) + b'"}',
    "brackets that are not closed": b"[" * SIZE,
    "quotes": b'"' * SIZE,
}


async def post(receiver: Receiver, job_id: str, body: bytes, headers: list[tuple[str, str]]) -> httpx.Response:
    """Send a callback as it arrives from a network: in pieces."""

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 65_536):
            yield body[start : start + 65_536]

    path = f"/callbacks/fal/{receiver.tokens.sign(job_id)}"
    return await receiver.http.post(path, content=pieces(), headers=headers)


@ON_BOTH_DATABASES
@pytest.mark.parametrize("name", PAYLOADS)
async def test_a_callback_of_4_mb_never_holds_the_loop(make_receiver: MakeReceiver, name: str) -> None:
    receiver = make_receiver(MAX_RESULT_BYTES="8000000")
    job_id = await receiver.scenario.submit()
    await receiver.keys.prefetch()
    body = b'{"request_id":"req-1","payload":' + PAYLOADS[name] + b',"status":"OK"}'
    headers = receiver.fal.sign(body, timestamp=SENT)
    with LoopTime() as loop:
        response = await post(receiver, job_id, body, headers)
    assert response.status_code == 200
    assert loop.longest < LONGEST_SECONDS
    broken = name in {"brackets that are not closed", "quotes"}
    assert response.json() == {"result": "pending" if broken else "recorded"}
    if not broken:
        job = await receiver.scenario.job(job_id)
        assert job.state is JobState.COMPLETED
        assert len(job.outputs) >= 1


async def test_many_small_bodies_never_hold_the_loop(make_receiver: MakeReceiver) -> None:
    """Bodies that are read at once: the longest that are, of what takes longest."""
    receiver = make_receiver()
    await receiver.keys.prefetch()
    for number, element in enumerate((b"[", b"[],", b"1e300,", b'{"a":', b'"",')):
        job_id = await receiver.scenario.submit(f"req-{number}")
        start = b'{"request_id":"req-%d","payload":[' % number
        body = start + element * ((16_384 - len(start)) // len(element))
        headers = receiver.fal.sign(body, request_id=f"req-{number}", timestamp=SENT)
        with LoopTime() as loop:
            await post(receiver, job_id, body, headers)
        assert loop.longest < LONGEST_SECONDS


def test_the_payloads_are_what_they_are_called() -> None:
    assert len(msgspec.json.decode(PAYLOADS["123"])["x"]) == SIZE // 4
