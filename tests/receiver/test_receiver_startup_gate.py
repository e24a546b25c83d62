"""Before there is an application: a moment's patience, then 503, and everybody in when it is there."""

import asyncio

import httpx
import pytest
from starlette.responses import PlainTextResponse

from receiver.web import startup_gate as module
from receiver.web.startup_gate import StartupGate

APP = PlainTextResponse("in")


@pytest.fixture
def gate() -> StartupGate:
    return StartupGate()


async def ask(gate: StartupGate) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://127.0.0.1") as client:
        return await client.get("/readyz")


async def test_whoever_comes_a_moment_too_early_is_let_in(gate: StartupGate) -> None:
    asked = asyncio.create_task(ask(gate))
    await asyncio.sleep(0)  # it has come
    gate.open(APP)
    assert (await asked).text == "in"
    assert (await ask(gate)).text == "in"


async def test_whoever_comes_much_too_early_is_told_to_come_again(
    gate: StartupGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    answer = await ask(gate)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.json()["detail"] == "the ledger is not open yet"
