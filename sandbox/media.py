"""The small playable files that every job returns, and the routes that serve them."""

from dataclasses import dataclass
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

FOLDER = Path(__file__).parent / "files"


@dataclass(frozen=True)
class Medium:
    """One file in `sandbox/files`."""

    name: str
    content_type: str
    width: int = 160
    height: int = 90
    seconds: float | None = None

    @property
    def path(self) -> Path:
        """The file's path."""
        return FOLDER / self.name

    @property
    def size(self) -> int:
        """The file's size in bytes."""
        return self.path.stat().st_size


MEDIA = {
    medium.name: medium
    for medium in (
        Medium("swapped.mp4", "video/mp4", seconds=1.6),
        Medium("swapped.png", "image/png"),
        Medium("swapped.jpg", "image/jpeg"),
    )
}


async def download(request: Request) -> Response:
    """Serve a file, whole or by range. The job id in the path and the signature in the query are ignored."""
    medium = MEDIA.get(request.path_params["name"])
    if medium is None:
        raise HTTPException(404, "no such file")
    return FileResponse(medium.path, media_type=medium.content_type)


routes = [
    Route("/files/{name}", download),
    Route("/files/{job}/{name}", download),
]
