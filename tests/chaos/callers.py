"""Many callbacks a second, each repeated until it is acknowledged, as fal does; every answer is kept."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import aiohttp

from tests.process.postgres_house import PostgresHouse
from tests.process.prepared import Prepared

PAUSES = (0.3, 0.6, 1.2, 2.4)
"""Seconds before a callback is sent again; the last one from then on."""


@dataclass(frozen=True)
class Answered:
    """One answer. `at` is when it was asked for, on the monotonic clock; `status` is 0 when there was none."""

    job_id: str
    at: float
    seconds: float
    status: int


class Callers:
    """Whoever calls back for prepared jobs, at the houses' receivers in turn."""

    def __init__(self, houses: Sequence[PostgresHouse], prepared: Iterable[Prepared]) -> None:
        self._houses = itertools.cycle(houses)
        self._waiting = deque(prepared)
        self._calling: set[asyncio.Task[None]] = set()
        self.answers: list[Answered] = []

    async def call(self, rate: float, until: asyncio.Event) -> None:
        """Begin `rate` callbacks a second until told to stop; then wait until all are acknowledged."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
            began = time.monotonic()
            for number in itertools.count(1):
                if until.is_set():
                    break
                assert self._waiting, "too few jobs were prepared"
                calling = asyncio.create_task(self._see_through(http, self._waiting.popleft()))
                self._calling.add(calling)
                calling.add_done_callback(self._calling.discard)
                # the rate of the load, no wait for anything
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            await asyncio.gather(*self._calling)

    async def _see_through(self, http: aiohttp.ClientSession, prepared: Prepared) -> None:
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            if await self._call(http, prepared) == 200:
                return
            await asyncio.sleep(pause)  # as fal waits

    async def _call(self, http: aiohttp.ClientSession, prepared: Prepared) -> int:
        house = next(self._houses)
        signed = prepared.callback(house.neighbours.signing_key, house.settings["SECRET_KEY"])
        began, status = time.monotonic(), 0
        try:
            async with http.post(f"{house.url}{signed.path}", headers=signed.headers, data=signed.body) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            pass  # no answer: told apart by its status
        self.answers.append(Answered(prepared.job_id, began, time.monotonic() - began, status))
        return status

    def begun_between(self, start: float, end: float) -> list[Answered]:
        """List the answers to what was asked after `start`, and answered before `end`."""
        return [each for each in self.answers if each.at >= start and each.at + each.seconds <= end]

    def acknowledged(self) -> set[str]:
        """Name the jobs whose callback was answered 200."""
        return {each.job_id for each in self.answers if each.status == 200}
