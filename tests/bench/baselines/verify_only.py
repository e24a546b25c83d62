"""Bare Starlette, and fal's signature: nothing is stored."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.bench.baselines.signature import is_signed


async def receive(request: Request) -> Response:
    """Read the body, verify, answer."""
    if not is_signed(request.headers, await request.body()):
        return Response(status_code=401)
    return Response()


app = Starlette(routes=[Route("/callbacks/fal/{token}", receive, methods=["POST"])])
