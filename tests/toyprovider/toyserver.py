"""A pretend toy on loopback. A prompt requests faults: `fail`, `lost` (no callback), `slow=SECONDS`."""

import asyncio
import json
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

RENDER_SECONDS = 0.1
RETRY_SECONDS = 0.2
MOST_ATTEMPTS = 100


class Render:
    """One render: its state follows from the clock."""

    def __init__(self, prompt: str, callback_url: str | None) -> None:
        self.id = f"render-{uuid.uuid4().hex[:12]}"
        self.prompt = prompt
        self.callback_url = callback_url
        slow = re.search(r"slow=([0-9.]+)", prompt)
        self.ends_at = time.monotonic() + (float(slow[1]) if slow else RENDER_SECONDS)
        self.stopped = False

    @property
    def ended(self) -> bool:
        return self.stopped or time.monotonic() >= self.ends_at

    def describe(self) -> dict[str, Any]:
        state = "stopped" if self.stopped else "drawing"
        if self.ended and not self.stopped:
            state = "failed" if "fail" in self.prompt else "done"
        return {"render": self.id, "state": state} | ({"reason": "no ink"} if state == "failed" else {})

    def files(self) -> list[dict[str, str]]:
        return [{"url": f"https://files.toy.example/{self.id}.png", "content_type": "image/png"}]


class ToyServer:
    """The endpoints, and the callbacks that they send until each has a 2xx response."""

    def __init__(self, secret: str) -> None:
        self._webhook = Webhook(secret)
        self._renders: dict[str, Render] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def app(self) -> Starlette:
        routes = [
            Route("/renders", self.submit, methods=["POST"]),
            Route("/renders/{id}", self.read, methods=["GET"]),
            Route("/renders/{id}", self.stop, methods=["DELETE"]),
            Route("/renders/{id}/files", self.files, methods=["GET"]),
        ]
        return Starlette(routes=routes, lifespan=self._lifespan)

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def submit(self, request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer toy-key":
            return JSONResponse({"reason": "wrong key"}, 401)
        body = await request.json()
        render = Render(body["prompt"], body["callback_url"])
        self._renders[render.id] = render
        task = asyncio.create_task(self._call_back(render))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return JSONResponse({"render": render.id}, 201)

    async def read(self, request: Request) -> Response:
        render = self._renders.get(request.path_params["id"])
        return JSONResponse(render.describe()) if render else JSONResponse({"reason": "unknown"}, 404)

    async def files(self, request: Request) -> Response:
        return JSONResponse({"files": self._renders[request.path_params["id"]].files()})

    async def stop(self, request: Request) -> Response:
        render = self._renders.get(request.path_params["id"])
        if render is None:
            return JSONResponse({"reason": "unknown"}, 404)
        if render.ended:
            return JSONResponse({"reason": "ended"}, 409)
        render.stopped = True
        return JSONResponse(render.describe())

    async def _call_back(self, render: Render) -> None:
        while not render.ended:  # noqa: ASYNC110 - it ends by the clock; a sleep may be over a little before
            await asyncio.sleep(render.ends_at - time.monotonic())
        if render.stopped or render.callback_url is None or "lost" in render.prompt:
            return
        body = json.dumps(render.describe() | {"files": render.files()}).encode()
        async with httpx.AsyncClient(trust_env=False) as http:
            for _ in range(MOST_ATTEMPTS):
                if await self._attempt(http, render, body):
                    return
                await asyncio.sleep(RETRY_SECONDS)

    async def _attempt(self, http: httpx.AsyncClient, render: Render, body: bytes) -> bool:
        assert render.callback_url
        now = datetime.now(UTC)
        headers = {
            "webhook-id": f"msg_{render.id}",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(f"msg_{render.id}", now, body.decode()),
        }
        try:
            response = await http.post(render.callback_url, content=body, headers=headers)
        except httpx.TransportError:
            return False
        return response.is_success
