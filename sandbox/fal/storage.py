"""fal's file storage in memory: the endpoints that uploads of the official clients use.

The Python client sends small files to `files/upload` and large ones to `files/upload/multipart`; the JavaScript client
asks `storage/upload/initiate` and `initiate-multipart` where to put them.
"""

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.bodies import UnusableBodyError, read_object
from sandbox.fal.queue import check_key

MOST_PARTS = 10_000
_ALL = ["GET", "POST", "PUT", "DELETE"]


@dataclass(frozen=True)
class _Upload:
    """A file that was announced and is not there yet: its content type and, of a large one, its parts."""

    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict)


class FalStorage:
    """The upload endpoints of rest.fal.ai and v3.fal.media, under /fal."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[str, bytes]] = {}
        self._uploads: dict[str, _Upload] = {}

    def routes(self) -> list[Route]:
        """Return the routes. They must precede those of the queue."""
        file, parts = "/fal/storage/files/{id}/{name}", "/fal/storage/files/{id}/{name}/multipart/{upload}"
        return [
            Route("/fal/storage/auth/token", self.token, methods=["POST"]),
            Route("/fal/files/upload", self.upload, methods=["POST"]),
            Route("/fal/files/upload/multipart", self.start_multipart, methods=["POST"]),
            Route("/fal/storage/upload/initiate", self.initiate, methods=["POST"]),
            Route("/fal/storage/upload/initiate-multipart", self.initiate, methods=["POST"]),
            Route(file, self.put, methods=["PUT"]),
            Route(file, self.get),
            *(Route(f"{path}/complete", self.complete, methods=["POST"]) for path in (parts, file)),
            *(Route(f"{path}/{{number:int}}", self.put_part, methods=["PUT"]) for path in (parts, file)),
            # what is no upload is no submission to the queue either
            *(Route(f"/fal/{place}/{{rest:path}}", _nowhere, methods=_ALL) for place in ("storage", "files", "tokens")),
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
        self._files[key] = (_content_type(request), await request.body())
        return JSONResponse({"access_url": _url(request, key)})

    async def start_multipart(self, request: Request) -> Response:
        """Begin the upload of a large file, as `fal_client.upload_file` does."""
        check_key(request)
        key = _file_key(request.headers.get("x-fal-file-name") or "upload.bin")
        self._uploads[key] = _Upload(_content_type(request))
        return JSONResponse({"access_url": _url(request, key), "uploadId": uuid.uuid4().hex})

    async def initiate(self, request: Request) -> Response:
        """Return the URLs for uploading and for reading a file."""
        check_key(request)
        try:
            body = await read_object(request)
        except UnusableBodyError as error:
            raise HTTPException(422, str(error)) from None
        key = _file_key(str(body.get("file_name") or "upload.bin"))
        self._uploads[key] = _Upload(str(body.get("content_type") or "application/octet-stream"))
        return JSONResponse({"upload_url": _url(request, key), "file_url": _url(request, key)})

    async def put(self, request: Request) -> Response:
        """Store a file that was announced. The URL is the permission; no API key is needed."""
        key, upload = self._announced(request)
        self._files[key] = (upload.content_type, await request.body())
        return Response(status_code=200)

    async def put_part(self, request: Request) -> Response:
        """Store a part. Its etag is in a header for the Python client, and in the body for the JavaScript client."""
        _, upload = self._announced(request)
        number, content = request.path_params["number"], await request.body()
        if not 1 <= number <= MOST_PARTS:
            raise HTTPException(400, f"parts are numbered from 1 to {MOST_PARTS}")
        upload.parts[number] = content
        etag = _etag(content)
        return JSONResponse({"partNumber": number, "etag": etag}, headers={"etag": etag})

    async def complete(self, request: Request) -> Response:
        """Join the parts that the body lists, if each is there as it was sent."""
        key, upload = self._announced(request)
        try:
            listed = (await read_object(request)).get("parts")
            etags = {int(part["partNumber"]): str(part["etag"]) for part in listed or ()}
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise HTTPException(422, f"the body is no list of parts: {error}") from None
        if not etags or etags != {number: _etag(part) for number, part in upload.parts.items()}:
            raise HTTPException(400, "the parts that are listed are not those that were sent")
        self._files[key] = (upload.content_type, b"".join(upload.parts[number] for number in sorted(upload.parts)))
        upload.parts.clear()
        return JSONResponse({"access_url": _url(request, key)})

    async def get(self, request: Request) -> Response:
        """Serve a stored file."""
        stored = self._files.get("{id}/{name}".format_map(request.path_params))
        if stored is None:
            raise HTTPException(404, "no such file")
        return Response(stored[1], media_type=stored[0])

    def _announced(self, request: Request) -> tuple[str, _Upload]:
        key = "{id}/{name}".format_map(request.path_params)
        if key not in self._uploads:
            raise HTTPException(403, "no upload was initiated for this URL")
        return key, self._uploads[key]


async def _nowhere(_: Request) -> Response:
    raise HTTPException(404, "Not Found")


def _url(request: Request, key: str) -> str:
    return f"{request.base_url}fal/storage/files/{key}"


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'


def _file_key(file_name: str) -> str:
    safe = "".join(character if character.isalnum() or character in "._-" else "_" for character in file_name)
    return f"{uuid.uuid4().hex}/{safe}"


def _content_type(request: Request) -> str:
    return request.headers.get("content-type") or "application/octet-stream"
