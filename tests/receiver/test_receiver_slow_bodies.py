"""A body that does not arrive in time: 408, nothing changed, and the reason in log and metrics."""

import httpx
import pytest

from tests.receiver.callers import Caller, serving
from tests.receiver.harness import API_KEY, Receiver, callback_body

SLOW = 0.1
"""Seconds that a body may take here."""


def head(path: str, headers: list[tuple[str, str]], length: int) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {length}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "", ""]).encode()


@pytest.mark.parametrize("dribble", [b"", b" "], ids=["stops", "dribbles"])
async def test_a_callback_with_a_slow_body_changes_nothing(receiver: Receiver, dribble: bytes) -> None:
    job_id = await receiver.scenario.submit()
    before = await receiver.dump()
    path, headers = f"/callbacks/fal/{receiver.tokens.sign(job_id)}", receiver.fal.sign(callback_body())
    async with serving(receiver.app, body_seconds=SLOW) as port, Caller(port) as caller:
        await caller.say(head(path, headers, 9_999) + callback_body()[:-1])
        answer = await caller.rest(dribble=dribble)
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert await receiver.dump() == before
    assert [fact["reason"] for fact in receiver.emitted.named("callback.refused")] == ["body_cut_short"]
    assert receiver.counted("callback.refused", provider="fal", reason="body_cut_short") == 1


async def test_a_job_with_a_slow_body_is_not_accepted(receiver: Receiver) -> None:
    before = await receiver.dump()
    headers = [("Authorization", f"Bearer {API_KEY}"), ("Content-Type", "application/json")]
    async with serving(receiver.app, body_seconds=SLOW) as port, Caller(port) as caller:
        await caller.say(head("/v1/jobs", headers, 9_999) + b"{")
        answer = await caller.rest()
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert await receiver.dump() == before
    assert not receiver.emitted.named("job.accepted")


async def test_a_callback_in_chunks_is_recorded(receiver: Receiver) -> None:
    job_id = await receiver.scenario.submit()
    body = callback_body()
    path, headers = f"/callbacks/fal/{receiver.tokens.sign(job_id)}", receiver.fal.sign(body)
    async with serving(receiver.app) as port:
        async with Caller(port) as caller:
            await caller.say(head(path, [*headers, ("Connection", "close")], len(body)), body[:10], body[10:])
            answer = await caller.rest()
        assert answer.endswith(b'{"result":"recorded"}')
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as http:
            again = await http.post(path, content=body, headers=headers)
    assert again.json() == {"result": "duplicate"}
