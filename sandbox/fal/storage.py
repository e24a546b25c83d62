"""fal's file storage, as far as the default upload of the official clients needs it, in memory."""

import uuid
from datetime import UTC, datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.fal.queue import check_key


class FalStorage:
    """The endpoints of rest.fal.ai and v3.fal.media that take files, under /fal."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, bytes]] = {}
        self._expected: dict[str, str] = {}

    def routes(self) -> list[Route]:
        """List the paths, which must come before those of the queue."""
        return [
            Route("/fal/storage/auth/token", self.token, methods=["POST"]),
            Route("/fal/files/upload", self.upload, methods=["POST"]),
            Route("/fal/storage/upload/initiate", self.initiate, methods=["POST"]),
            Route("/fal/storage/files/{id}/{name}", self.put, methods=["PUT"]),
            Route("/fal/storage/files/{id}/{name}", self.get),
        ]

    async def token(self, request: Request) -> Response:
        """Hand out a token for one hour of uploads."""
        check_key(request)
        expires = datetime.now(UTC) + timedelta(hours=1)
        base_url = f"{request.base_url}fal"
        token = {"token": uuid.uuid4().hex, "token_type": "Bearer", "base_url": base_url}
        return JSONResponse(token | {"expires_at": expires.isoformat()})

    async def upload(self, request: Request) -> Response:
        """Keep the body as a file, as `fal_client.upload` sends it."""
        check_key(request)
        place = _place(request.headers.get("x-fal-file-name") or "upload.bin")
        self._files[place] = (_content_type(request), await request.body())
        return JSONResponse({"access_url": f"{request.base_url}fal/storage/files/{place}"})

    async def initiate(self, request: Request) -> Response:
        """Say where a file may be put, and where it will be."""
        check_key(request)
        asked = await request.json()
        place = _place(str(asked.get("file_name") or "upload.bin"))
        self._expected[place] = str(asked.get("content_type") or "application/octet-stream")
        url = f"{request.base_url}fal/storage/files/{place}"
        return JSONResponse({"upload_url": url, "file_url": url})

    async def put(self, request: Request) -> Response:
        """Keep a file that was announced. It carries no key: the address is the permission."""
        place = "{id}/{name}".format_map(request.path_params)
        if place not in self._expected:
            raise HTTPException(403, "nobody announced this file")
        self._files[place] = (self._expected[place], await request.body())
        return Response(status_code=200)

    async def get(self, request: Request) -> Response:
        """Serve a kept file."""
        kept = self._files.get("{id}/{name}".format_map(request.path_params))
        if kept is None:
            raise HTTPException(404, "no such file")
        return Response(kept[1], media_type=kept[0])


def _place(file_name: str) -> str:
    safe = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in file_name)
    return f"{uuid.uuid4().hex}/{safe}"


def _content_type(request: Request) -> str:
    return request.headers.get("content-type") or "application/octet-stream"
