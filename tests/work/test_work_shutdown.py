"""Stopping: asked once, and so many seconds from then on, however often it is asked again."""

import asyncio

from work.shutdown import Shutdown


async def test_the_seconds_run_from_the_first_asking(monkeypatch) -> None:
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
