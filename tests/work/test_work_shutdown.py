"""Shutdown: the grace period runs from the first request."""

import asyncio

import pytest

from work.shutdown import Shutdown


async def test_the_grace_period_runs_from_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    now, stop = [100.0], Shutdown(4.0)
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now[0], raising=False)
    assert not stop.requested.is_set()
    stop.request()
    now[0] = 103.0
    stop.request()
    assert stop.requested.is_set()
    assert stop.seconds_left() == 1.0
    now[0] = 200.0
    assert stop.seconds_left() == 0.0


async def test_callbacks_are_called_once_at_the_first_request_or_at_once_after_it() -> None:
    shutdown, called = Shutdown(4.0), list[str]()
    shutdown.on_request(lambda: called.append("before"))
    assert called == []
    shutdown.request()
    shutdown.request()
    shutdown.on_request(lambda: called.append("after"))
    assert called == ["before", "after"]
