"""Shutdown: the grace period runs from the first request."""

import asyncio

import pytest

from work.shutdown import Shutdown


async def test_the_grace_period_runs_from_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stop = [100.0], Shutdown(4.0)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0], raising=False)
    assert not stop.asked.is_set()
    stop.ask()
    now[0] = 103.0
    stop.ask()
    assert stop.asked.is_set()
    assert stop.seconds_left() == 1.0
    now[0] = 200.0
    assert stop.seconds_left() == 0.0
