"""The sandbox as one ASGI application: fal under /fal, HeyGen under /heygen, files under /files."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sandbox import media
from sandbox.fal.callbacks import CallbackSender
from sandbox.fal.keys import Keyring
from sandbox.fal.queue import FalQueue, UnknownRequestError, not_found
from sandbox.fal.run import FalRun
from sandbox.fal.storage import FalStorage
from sandbox.heygen.workflows import HeyGen
from sandbox.inspection import Inspection
from sandbox.jobs import Jobs
from sandbox.options import Options


def create_app(options: Options | None = None) -> Starlette:
    """Build a sandbox. It keeps its jobs and files in memory."""
    options = options or Options()
    jobs = Jobs(options.render_seconds, options.faults)
    keyring = Keyring(options.key_seed)
    sender = CallbackSender(options, keyring)
    queue = FalQueue(jobs, keyring, sender)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await sender.close()

    return Starlette(
        routes=[
            *Inspection(jobs, keyring).routes(),
            *media.routes,
            *HeyGen(jobs).routes(),
            *FalStorage().routes(),
            *FalRun(queue).routes(),
            *queue.routes(),
        ],
        exception_handlers={HTTPException: _http_error, UnknownRequestError: not_found},
        lifespan=lifespan,
    )


async def _http_error(_: Request, error: Exception) -> Response:
    """Return the error in the format of FastAPI, which fal's endpoints use."""
    assert isinstance(error, HTTPException)
    return JSONResponse({"detail": error.detail}, error.status_code, error.headers)
