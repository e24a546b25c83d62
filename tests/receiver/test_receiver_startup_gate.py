"""The startup gate: requests wait for a moment, then get 503, until the application is open."""

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


async def get(gate: StartupGate) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(gate), base_url="http://127.0.0.1") as client:
        return await client.get("/readyz")


async def test_a_request_during_a_short_startup_waits_for_the_application(gate: StartupGate) -> None:
    waiting = asyncio.create_task(get(gate))
    await asyncio.sleep(0)
    gate.open(APP)
    assert (await waiting).text == "in"
    assert (await get(gate)).text == "in"


async def test_requests_before_startup_get_503_with_retry_after(
    gate: StartupGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAIT_SECONDS", 0.01)
    response = await get(gate)
    assert (response.status_code, response.headers["retry-after"]) == (503, "1")
    assert response.json()["detail"] == "the database is not open yet"
