"""The least that a Starlette handler can do: read the body, answer 200."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


async def receive(request: Request) -> Response:
    """Read the body and answer."""
    await request.body()
    return Response()


app = Starlette(routes=[Route("/callbacks/fal/{token}", receive, methods=["POST"])])
