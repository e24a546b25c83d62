"""Sends callbacks at a rate, each repeated until it is acknowledged, as fal does, and keeps every response."""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import aiohttp

from tests.process.postgres_deployment import PostgresDeployment
from tests.process.submitted_jobs import SubmittedJob

PAUSES = (0.3, 0.6, 1.2, 2.4)
"""Seconds before a callback is sent again; the last one from then on."""


@dataclass(frozen=True)
class CallbackResponse:
    """One response. `at` is when its request was sent, on the monotonic clock; `status` is 0 if there was none."""

    job_id: str
    at: float
    seconds: float
    status: int


class CallbackSender:
    """Calls back for submitted jobs, at the receivers in turn."""

    def __init__(self, deployments: Sequence[PostgresDeployment], jobs: Iterable[SubmittedJob]) -> None:
        self._houses = itertools.cycle(deployments)
        self._waiting = deque(jobs)
        self._calling: set[asyncio.Task[None]] = set()
        self.answers: list[CallbackResponse] = []

    async def call(self, rate: float, until: asyncio.Event) -> None:
        """Start `rate` callbacks a second until `until` is set; then wait until all are acknowledged."""
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0)) as http:
            began = time.monotonic()
            for number in itertools.count(1):
                if until.is_set():
                    break
                assert self._waiting, "too few jobs were submitted"
                calling = asyncio.create_task(self._repeat(http, self._waiting.popleft()))
                self._calling.add(calling)
                calling.add_done_callback(self._calling.discard)
                # the rate of the load, no wait for anything
                await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
            await asyncio.gather(*self._calling)

    async def _repeat(self, http: aiohttp.ClientSession, submitted_job: SubmittedJob) -> None:
        for pause in itertools.chain(PAUSES, itertools.repeat(PAUSES[-1])):
            if await self._call(http, submitted_job) == 200:
                return
            await asyncio.sleep(pause)  # as fal waits

    async def _call(self, http: aiohttp.ClientSession, submitted_job: SubmittedJob) -> int:
        deployment = next(self._houses)
        signed = submitted_job.callback(deployment.services.signing_key, deployment.settings["SECRET_KEY"])
        began, status = time.monotonic(), 0
        try:
            async with http.post(f"{deployment.url}{signed.path}", headers=signed.headers, data=signed.body) as answer:
                await answer.read()
                status = answer.status
        except (aiohttp.ClientError, TimeoutError):
            pass  # no response: status 0
        self.answers.append(CallbackResponse(submitted_job.job_id, began, time.monotonic() - began, status))
        return status

    def begun_between(self, start: float, end: float) -> list[CallbackResponse]:
        """List the responses to requests sent after `start` and answered before `end`."""
        return [each for each in self.answers if each.at >= start and each.at + each.seconds <= end]

    def acknowledged(self) -> set[str]:
        """Return the jobs whose callback was answered 200."""
        return {each.job_id for each in self.answers if each.status == 200}
