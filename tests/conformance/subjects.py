"""The providers that have to conform: each with its pretend endpoints, its settings, and inputs for each scenario."""

import base64
import importlib
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import EntryPoint, distributions
from pathlib import Path

import msgspec

from providers.registry import GROUP
from sandbox.app import create_app
from sandbox.options import Options
from tests.sandbox.doubles import serving

TOY = Path(__file__).parents[1] / "toyprovider"
TOY_SECRET = "whsec_" + base64.b64encode(b"a secret of the toy provider").decode()
FACE, VIDEO = "https://files.example/face.jpg", "https://files.example/video.mp4"


class Inputs(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs that make the pretend provider complete, fail, send no callback, and take long."""

    completes: dict[str, str]
    fails: dict[str, str]
    lost: dict[str, str]
    slow: Callable[[float], dict[str, str]]


class Subject(msgspec.Struct, frozen=True, kw_only=True):
    """One provider under test. `environment` makes its settings of the URL of its pretend endpoints."""

    name: str
    model: str
    inputs: Inputs
    environment: Callable[[str], Mapping[str, str]]
    poll_setting: str
    calls_back: bool
    cancels: bool


def _fal_input(fault: str) -> dict[str, str]:
    return {"source_face_url": FACE, "target_video_url": f"{VIDEO}#fault={fault}" if fault else VIDEO}


def _heygen_input(fault: str) -> dict[str, str]:
    return {"source_image_url": FACE, "target_video_url": f"{VIDEO}#fault={fault}" if fault else VIDEO}


def _toy_input(prompt: str) -> dict[str, str]:
    return {"prompt": prompt}


FAL = Subject(
    name="fal",
    model="half-moon-ai/ai-face-swap/faceswapvideo",
    inputs=Inputs(
        completes=_fal_input(""),
        fails=_fal_input("failed"),
        lost=_fal_input("lost"),
        slow=lambda seconds: _fal_input(f"long={seconds}"),
    ),
    environment=lambda url: {
        "FAL_KEY": "kid:secret",
        "FAL_QUEUE_URL": f"{url}/fal",
        "FAL_JWKS_URL": f"{url}/fal/.well-known/jwks.json",
        "FAL_WEBHOOK_USER_ID": "sandbox-user",
    },
    poll_setting="FAL_RECONCILE_SECONDS",
    calls_back=True,
    cancels=True,
)
HEYGEN = Subject(
    name="heygen",
    model="FaceswapNode",
    inputs=Inputs(
        completes=_heygen_input(""),
        fails=_heygen_input("failed"),
        lost=_heygen_input(""),
        slow=lambda seconds: _heygen_input(f"long={seconds}"),
    ),
    environment=lambda url: {"HEYGEN_API_KEY": "heygen-key", "HEYGEN_API_URL": f"{url}/heygen"},
    poll_setting="HEYGEN_POLL_SECONDS",
    calls_back=False,
    cancels=False,
)
TOY_SUBJECT = Subject(
    name="toy",
    model="sketch",
    inputs=Inputs(
        completes=_toy_input("a cat"),
        fails=_toy_input("fail"),
        lost=_toy_input("lost"),
        slow=lambda seconds: _toy_input(f"slow={seconds}"),
    ),
    environment=lambda url: {
        "TOY_API_KEY": "toy-key",
        "TOY_API_URL": url,
        "TOY_WEBHOOK_SECRET": TOY_SECRET,
    },
    poll_setting="TOY_POLL_SECONDS",
    calls_back=True,
    cancels=True,
)
SUBJECTS = (FAL, HEYGEN, TOY_SUBJECT)


def install_toy(folder: Path) -> Path:
    """Install the toy provider's distribution into `folder`, as pip does with `--target`: modules and metadata."""
    project = tomllib.loads((TOY / "pyproject.toml").read_text())["project"]
    (folder / "toyprovider.py").write_bytes((TOY / "toyprovider.py").read_bytes())
    metadata = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    lines = [f"{name} = {value}" for name, value in project["entry-points"][GROUP].items()]
    (metadata / "entry_points.txt").write_text("\n".join([f"[{GROUP}]", *lines, ""]))
    return folder


def entry_points_in(folder: Path) -> list[EntryPoint]:
    """List the providers that the distributions in `folder` declare."""
    return [each for found in distributions(path=[str(folder)]) for each in found.entry_points if each.group == GROUP]


@contextmanager
def importable(*folders: Path) -> Iterator[None]:
    """Import from `folders` too."""
    added = [str(folder) for folder in folders]
    sys.path[:0] = added
    try:
        yield
    finally:
        for folder in added:
            sys.path.remove(folder)


@contextmanager
def pretend_endpoints(subject: Subject) -> Iterator[str]:
    """Serve the pretend endpoints of a provider on loopback, and yield their URL."""
    if subject.name == "toy":
        app = importlib.import_module("toyserver").ToyServer(TOY_SECRET).app()
    else:
        app = create_app(Options(render_seconds=0.1))
    with serving(app) as url:
        yield url
