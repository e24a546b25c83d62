import hashlib
import re
from pathlib import Path

import pytest

from sandbox.media import FOLDER, MEDIA
from tests.sandbox.doubles import Client

README = Path(FOLDER / "README.md").read_text()
MAGIC = {"swapped.mp4": (4, b"ftyp"), "swapped.png": (0, b"\x89PNG\r\n\x1a\n"), "swapped.jpg": (0, b"\xff\xd8\xff")}


@pytest.mark.parametrize("name", MEDIA)
def test_a_file_has_the_size_and_digest_of_the_readme(name: str) -> None:
    content = MEDIA[name].path.read_bytes()
    row = re.search(rf"\| {name} \|.*\| (\d+) \| ([0-9a-f]{{64}}) \|", README)
    assert row
    assert (len(content), hashlib.sha256(content).hexdigest()) == (int(row[1]), row[2])
    assert len(content) < 40_000


@pytest.mark.parametrize("name", MEDIA)
def test_a_file_has_the_format_of_its_name(name: str) -> None:
    offset, magic = MAGIC[name]
    assert MEDIA[name].path.read_bytes()[offset:].startswith(magic)


@pytest.mark.parametrize("name", MEDIA)
def test_a_file_is_served_with_its_type_and_size_and_by_range(sandbox: Client, name: str) -> None:
    response = sandbox.http.get(f"/files/some-job/{name}?Signature=x")
    assert response.headers["content-type"] == MEDIA[name].content_type
    assert len(response.content) == MEDIA[name].size
    part = sandbox.http.get(f"/files/{name}", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, response.content[4:8])


def test_an_unknown_file_gets_404(sandbox: Client) -> None:
    assert sandbox.http.get("/files/README.md").status_code == 404
