"""A receiver put together for tests: a pretend fal that signs, the real application, and all that it announced."""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import httpx
import msgspec
from nacl.signing import SigningKey
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from ledger.ledger import Ledger
from ledger.sqlite.store import SQLiteStore
from outbound.targets import Targets
from providers.callback_tokens import CallbackTokens
from providers.http import NeverSent, Request, Response
from receiver.api.deliveries import DeliveriesApi
from receiver.api.health import Health
from receiver.api.job_requests import JobRequests
from receiver.api.jobs import JobsApi
from receiver.callbacks.application import FalCallbacks
from receiver.callbacks.keys import KeyRing
from receiver.web.app import create_app
from telemetry.telemetry import Telemetry
from tests.conftest import NOON, Clock, Heard
from tests.ledger.conftest import Story

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


class _Silent:
    def info(self, fact: str, **fields: object) -> None: ...

    warning = info


class House:
    """The application on a real ledger, with what a test needs to look at. Options are those of the settings."""

    def __init__(self, store: SQLiteStore, clock: Clock, heard: Heard, **options: Any) -> None:
        self.store, self.clock, self.heard, self.fal, self.story = store, clock, heard, Fal(), Story(store)
        self.registry = CollectorRegistry()
        self.tokens = CallbackTokens([SECRET_KEY])
        telemetry = Telemetry(self.registry, log=_Silent())

        def emit(fact: str, /, **fields: object) -> None:
            heard(fact, **fields)
            telemetry(fact, **fields)

        self.emit = emit
        self.stopped_workers: list[str] = []
        self.before: dict[str, list[tuple[object, ...]]] = {}
        self.keys = KeyRing(self.fal, "https://fal.example/jwks", clock=clock, emit=emit)
        self.options = options
        self.app = self.compose()
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://renderhook")
        self.http.headers["authorization"] = f"Bearer {API_KEY}"

    def compose(self) -> ASGIApp:
        return create_app(
            callbacks=FalCallbacks(
                Ledger(self.store, self.clock),
                self.keys,
                self.tokens,
                clock=self.clock,
                emit=self.emit,
                account=self.options.get("account", ACCOUNT),
                tolerance_seconds=300,
                max_body_bytes=LIMIT,
            ),
            jobs=JobsApi(Ledger(self.store, self.clock), _requests(self.options), emit=self.emit, max_body_bytes=LIMIT),
            deliveries=DeliveriesApi(Ledger(self.store, self.clock), emit=self.emit),
            health=Health(Ledger(self.store, self.clock), self.registry, stopped_workers=lambda: self.stopped_workers),
            api_keys=self.options.get("api_keys", (API_KEY, OLD_API_KEY)),
            emit=self.emit,
        )

    async def call_back(
        self, job_id: str, body: bytes | None = None, headers: Headers | None = None, **signed: Any
    ) -> httpx.Response:
        """Send one callback, signed unless `headers` are given."""
        body = callback_body() if body is None else body
        signed = {"timestamp": self.clock() // 1000} | signed
        headers = self.fal.sign(body, **signed) if headers is None else headers
        return await self.http.post(f"/callbacks/fal/{self.tokens.sign(job_id)}", content=body, headers=headers)

    def counted(self, fact: str, **labels: str) -> float:
        return self.registry.get_sample_value(f"renderhook_{fact.replace('.', '_')}_total", labels) or 0.0

    async def dump(self) -> dict[str, list[tuple[object, ...]]]:
        """Everything in the ledger: every table, every row."""
        reader = self.store._reader
        tables = await reader.execute_fetchall("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        names = [row["name"] for row in tables]
        return {
            name: [tuple(row.values()) for row in await reader.execute_fetchall(f"SELECT * FROM {name}")]
            for name in names
        }


def _requests(options: dict[str, Any]) -> JobRequests:
    return JobRequests(
        providers=options.get("providers", ("fal", "heygen")),
        targets=Targets(options.get("allowed", ())),
        signing=options.get("signing", True),
        notify_url=options.get("notify_url"),
    )


async def until(true: Callable[[], bool | Awaitable[bool]], seconds: float = 10) -> None:
    """Wait for a condition, looking at it whenever the loop has turned. Raises TimeoutError."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0)
