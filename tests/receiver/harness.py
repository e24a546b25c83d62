"""The receiver's application for tests: composed as the process does, with a fal that signs callbacks."""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx
import msgspec
from nacl.signing import SigningKey
from prometheus_client import CollectorRegistry

from ledger.ledger import Ledger
from ledger.storage.store import Store
from outbound.targets import Targets
from providers.callback_tokens import CallbackTokens
from providers.http import NeverSent, Request, Response
from providers.registry import open_accounts, open_webhooks
from receiver.application import compose_application
from receiver.callbacks.keys import open_keys
from receiver.callbacks.sources import Source
from receiver.settings import read_settings
from receiver.web.app import App
from telemetry.events import counter_name
from telemetry.telemetry import Telemetry
from tests.conftest import NOON, Clock, EmittedEvents
from tests.database import Database
from tests.ledger.conftest import Scenario

SECRET_KEY, API_KEY, OLD_API_KEY = "the-secret-key-of-tests", "the-newest-api-key", "an-older-api-key"
ACCOUNT = "user-1"
LIMIT = 65_536
SENT = NOON // 1000

VIDEO = {"video": {"url": "https://v3b.fal.media/files/a/b.mp4", "content_type": "video/mp4", "file_size": 7}}

Headers = list[tuple[str, str]]


class Fal:
    """Publishes its keys and signs callbacks. It is the `Send` of the key ring."""

    def __init__(self) -> None:
        self.key = SigningKey(b"a" * 32)
        self.published = [self.key]
        self.down = False
        self.fetches = 0

    async def __call__(self, request: Request) -> Response:
        self.fetches += 1
        if self.down:
            raise NeverSent("connection refused")
        return Response(status=200, body=jwks(*self.published))

    def rotate(self) -> None:
        self.key = SigningKey(b"b" * 32)
        self.published = [self.key]

    def sign(
        self,
        body: bytes,
        *,
        request_id: str = "req-1",
        user_id: str = ACCOUNT,
        timestamp: int | str = SENT,
        key: SigningKey | None = None,
    ) -> Headers:
        text = f"{request_id}\n{user_id}\n{timestamp}\n{hashlib.sha256(body).hexdigest()}"
        return [
            ("x-fal-webhook-request-id", request_id),
            ("x-fal-webhook-user-id", user_id),
            ("x-fal-webhook-timestamp", str(timestamp)),
            ("x-fal-webhook-signature", (key or self.key).sign(text.encode()).signature.hex()),
        ]


def jwks(*keys: SigningKey) -> bytes:
    raw = [base64.urlsafe_b64encode(bytes(key.verify_key)).decode().rstrip("=") for key in keys]
    return msgspec.json.encode({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": x} for x in raw]})


def raw(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI gives them."""
    return [(name.encode(), value.encode()) for name, value in headers]


def callback_body(request_id: str = "req-1", **fields: object) -> bytes:
    return msgspec.json.encode(
        {"request_id": request_id, "gateway_request_id": request_id, "status": "OK", "payload": VIDEO} | fields
    )


ENVIRONMENT = {
    "SECRET_KEY": SECRET_KEY,
    "API_KEY": f"{API_KEY},{OLD_API_KEY}",
    "FAL_KEY": "fal-key-id:fal-key-secret",
    "FAL_WEBHOOK_USER_ID": ACCOUNT,
    "FAL_JWKS_URL": "https://fal.example/jwks",
    "HEYGEN_API_KEY": "heygen-key",
    "NOTIFY_SECRET": "whsec_bm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm5ubm4=",
    "MAX_BODY_BYTES": str(LIMIT),
    "MAX_RESULT_BYTES": str(LIMIT),
}
"""The settings of the receiver of most tests."""


class _Silent:
    def info(self, event: str, **fields: object) -> None: ...

    debug = warning = info


class Receiver:
    """The receiver's application on a real database, and fal. `environment` has the settings that differ."""

    def __init__(
        self, store: Store, database: Database, clock: Clock, emitted: EmittedEvents, **environment: str
    ) -> None:
        self.database = database
        self.store, self.clock, self.emitted, self.fal, self.scenario = store, clock, emitted, Fal(), Scenario(store)
        self.ledger = Ledger(store, clock)
        self.settings = read_settings(ENVIRONMENT | environment)
        self.registry = CollectorRegistry()
        self.tokens = CallbackTokens([SECRET_KEY])
        self.telemetry = Telemetry(self.registry, log=_Silent())
        self.stopped_workers: list[str] = []
        self.before: dict[str, list[tuple[object, ...]]] = {}
        webhooks = open_webhooks(self.settings.providers)
        opened = {
            name: open_keys(name, webhook, self.fal, clock=clock, emit=self.emit) for name, webhook in webhooks.items()
        }
        self.sources = {name: Source(provider=name, webhook=webhooks[name], keys=keys) for name, keys in opened.items()}
        self.keys = opened["fal"]
        self.app = self.compose()
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://renderhook")
        self.http.headers["authorization"] = f"Bearer {API_KEY}"

    def emit(self, event: str, /, **fields: object) -> None:
        self.emitted(event, **fields)
        self.telemetry(event, **fields)

    def compose(self) -> App:
        """Make the application, as the process does."""
        accounts = open_accounts(self.settings.providers, public_url=self.settings.public_url, tokens=self.tokens)
        return compose_application(
            self.settings,
            self.ledger,
            sources=self.sources,
            tokens=self.tokens,
            providers=accounts.keys(),
            targets=Targets(self.settings.allow_private_targets),
            registry=self.registry,
            stopped_workers=lambda: self.stopped_workers,
            emit=self.emit,
            clock=self.clock,
        )

    async def call_back(
        self, job_id: str, body: bytes | None = None, headers: Headers | None = None, **signed: Any
    ) -> httpx.Response:
        """Send one callback, signed unless `headers` are given."""
        body = callback_body() if body is None else body
        signed = {"timestamp": self.clock() // 1000} | signed
        headers = self.fal.sign(body, **signed) if headers is None else headers
        return await self.http.post(f"/callbacks/fal/{self.tokens.sign(job_id)}", content=body, headers=headers)

    def counted(self, event: str, **labels: str) -> float:
        """Return the value of an event's counter."""
        return self.registry.get_sample_value(counter_name(event), labels) or 0.0

    async def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Return every row of every table."""
        return await asyncio.to_thread(self.database.dump)


async def until(true: Callable[[], bool | Awaitable[bool]], seconds: float = 30) -> None:
    """Wait until a condition is true, checking it at each iteration of the event loop. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0)
