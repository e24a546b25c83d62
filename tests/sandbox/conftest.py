from collections.abc import Iterator

import fal_client
import fal_client.client as fal_client_module
import httpx
import pytest

from sandbox.app import create_app
from sandbox.options import Options
from tests.sandbox.doubles import CallbackServer, Client, serving

SEED = bytes(range(32))


@pytest.fixture(scope="session")
def callback_server() -> Iterator[CallbackServer]:
    server = CallbackServer()
    with serving(server.app()) as url:
        server.url = url
        yield server


@pytest.fixture(scope="session")
def sandbox_url() -> Iterator[str]:
    options = Options(key_seed=SEED, render_seconds=0.1, retry_seconds=0.01, retry_cap_seconds=0.05)
    with serving(create_app(options)) as url:
        yield url


@pytest.fixture(scope="session")
def keyed(sandbox_url: str) -> Iterator[httpx.Client]:
    """One client for all tests: creating one takes longer than most of them."""
    headers = {"Authorization": "Key kid:secret", "X-Api-Key": "hg"}
    with httpx.Client(base_url=sandbox_url, headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def http() -> Iterator[httpx.Client]:
    """A client without any key."""
    with httpx.Client(trust_env=False) as client:
        yield client


@pytest.fixture
def sandbox(sandbox_url: str, keyed: httpx.Client, callback_server: CallbackServer) -> Iterator[Client]:
    yield Client(sandbox_url, keyed, callback_server.open())
    keyed.post("/sandbox/faults", json={"faults": ""})


@pytest.fixture
def fal(sandbox: Client, monkeypatch: pytest.MonkeyPatch) -> Iterator[fal_client.SyncClient]:
    monkeypatch.setattr(fal_client_module, "QUEUE_URL_FORMAT", f"{sandbox.url}/fal/")
    monkeypatch.setattr(fal_client_module, "RUN_URL_FORMAT", f"{sandbox.url}/fal/run/")
    monkeypatch.setattr(fal_client_module, "REST_URL", f"{sandbox.url}/fal")
    monkeypatch.setattr(fal_client_module, "CDN_URL", f"{sandbox.url}/fal")
    monkeypatch.setenv("FAL_KEY", "kid:secret")
    client = fal_client.SyncClient()
    yield client
    client._client.close()
