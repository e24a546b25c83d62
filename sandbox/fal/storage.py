"""fal's file storage in memory: the endpoints that uploads of the official clients use."""

import uuid
from datetime import UTC, datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.fal.queue import check_key


class FalStorage:
    """The upload endpoints of rest.fal.ai and v3.fal.media, under /fal."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, bytes]] = {}
        self._expected: dict[str, str] = {}

    def routes(self) -> list[Route]:
        """Return the routes. They must precede those of the queue."""
        return [
            Route("/fal/storage/auth/token", self.token, methods=["POST"]),
            Route("/fal/files/upload", self.upload, methods=["POST"]),
            Route("/fal/storage/upload/initiate", self.initiate, methods=["POST"]),
            Route("/fal/storage/files/{id}/{name}", self.put, methods=["PUT"]),
            Route("/fal/storage/files/{id}/{name}", self.get),
        ]

    async def token(self, request: Request) -> Response:
        """Return a token that is valid for an hour."""
        check_key(request)
        expires = datetime.now(UTC) + timedelta(hours=1)
        base_url = f"{request.base_url}fal"
        token = {"token": uuid.uuid4().hex, "token_type": "Bearer", "base_url": base_url}
        return JSONResponse(token | {"expires_at": expires.isoformat()})

    async def upload(self, request: Request) -> Response:
        """Store the body, as `fal_client.upload` sends it."""
        check_key(request)
        key = _file_key(request.headers.get("x-fal-file-name") or "upload.bin")
        content_type = request.headers.get("content-type") or "application/octet-stream"
        self._files[key] = (content_type, await request.body())
        return JSONResponse({"access_url": f"{request.base_url}fal/storage/files/{key}"})

    async def initiate(self, request: Request) -> Response:
        """Return the URLs for uploading and for reading a file."""
        check_key(request)
        body = await request.json()
        key = _file_key(str(body.get("file_name") or "upload.bin"))
        self._expected[key] = str(body.get("content_type") or "application/octet-stream")
        url = f"{request.base_url}fal/storage/files/{key}"
        return JSONResponse({"upload_url": url, "file_url": url})

    async def put(self, request: Request) -> Response:
        """Store a file that `initiate` announced. The URL is the permission; no API key is needed."""
        key = "{id}/{name}".format_map(request.path_params)
        if key not in self._expected:
            raise HTTPException(403, "no upload was initiated for this URL")
        self._files[key] = (self._expected[key], await request.body())
        return Response(status_code=200)

    async def get(self, request: Request) -> Response:
        """Serve a stored file."""
        stored = self._files.get("{id}/{name}".format_map(request.path_params))
        if stored is None:
            raise HTTPException(404, "no such file")
        return Response(stored[1], media_type=stored[0])


def _file_key(file_name: str) -> str:
    safe = "".join(character if character.isalnum() or character in "._-" else "_" for character in file_name)
    return f"{uuid.uuid4().hex}/{safe}"
