"""fal.run: a model's output as the response, or as a stream. https://fal.ai/docs/documentation/model-apis/inference"""

import asyncio
import json
import time
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sandbox.fal.queue import FalQueue, outcome_of
from sandbox.jobs import Job


class FalRun:
    """The endpoints of fal.run, under /fal/run. A job is billed as one of the queue is."""

    def __init__(self, queue: FalQueue) -> None:
        self._queue = queue

    def routes(self) -> list[Route]:
        """Return the routes. They must precede those of the queue."""
        return [
            Route("/fal/run/{model:path}/stream", self.stream, methods=["POST"]),
            Route("/fal/run/{model:path}", self.run, methods=["POST"]),
        ]

    async def run(self, request: Request) -> Response:
        """Run a model, and return its output when it has ended."""
        job = await self._queue.begin(request, webhook_url=None)
        if isinstance(job, Response):
            return job
        await _ended(job)
        return outcome_of(job)

    async def stream(self, request: Request) -> Response:
        """Run a model, and send its progress and then its output as server-sent events."""
        job = await self._queue.begin(request, webhook_url=None)
        if isinstance(job, Response):
            return job
        headers = {"x-fal-request-id": job.id}
        return StreamingResponse(_events(job), media_type="text/event-stream", headers=headers)


async def _events(job: Job) -> AsyncIterator[str]:
    yield _event(json.dumps({"progress": 0}))
    await _ended(job)
    yield _event(bytes(outcome_of(job).body).decode())


def _event(data: str) -> str:
    return f"data: {data}\n\n"


async def _ended(job: Job) -> None:
    while not job.ended:  # noqa: ASYNC110 - a job's state follows from the clock, and a cancel sets no event
        await asyncio.sleep(min(max(job.ends_at - time.time(), 0.001), 0.25))
