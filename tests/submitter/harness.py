"""A submitter and a poller on a real ledger, with our accounts, and a provider whose responses are scripted."""

import json
from collections.abc import Awaitable, Callable, Sequence

from ledger.ledger import Ledger
from ledger.records import Outcome, Output, RecordResult
from ledger.requests import Kind, NewJob, ProviderRequest, Report, Task
from ledger.rows import Job, Receipt
from ledger.storage.store import Store
from providers.callback_tokens import CallbackTokens
from providers.fal.provider import FalAccount
from providers.heygen.provider import HeygenAccount
from providers.http import Request, Response, Send
from providers.provider import Account, Context
from settings.redaction import Redactor
from submitter.poll import Poller
from submitter.submit import Resubmit, Submitter
from telemetry.redacted_emit import redacted
from tests.conftest import Clock, EmittedEvents

TOKENS = CallbackTokens(["a key of the tests"])
KEY = "kid:secret"
LEASE = 70_000
DONE = Outcome.completed((Output(url="https://v3b.fal.media/files/a/b.mp4"),))

Reply = Response | Exception | Callable[[Request], Awaitable[Response]]


def fal_account(*, calls_back: bool = True) -> FalAccount:
    public_url = "https://hooks.example" if calls_back else None
    return FalAccount(
        queue_url="https://queue.fal.run",
        key=KEY,
        context=Context(provider="fal", public_url=public_url, tokens=TOKENS),
        poll_every=5_000,
        reconcile_every=60_000,
        give_up_after=86_400_000,
    )


def heygen_account() -> HeygenAccount:
    return HeygenAccount(
        api_url="https://api.heygen.com",
        path="/v1/workflows/executions",
        key="hg-key",
        poll_interval=10_000,
        give_up_after=600_000,
    )


def response(status: int = 200, body: object = None, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    return Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=raw)


def accepted(request_id: str = "req-1") -> Response:
    """The response of either provider to a submission that it accepts."""
    return response(200, {"request_id": request_id, "data": {"execution_id": request_id, "status": "submitted"}})


class Script:
    """A `Send` that gives the replies in order, the last one for ever, and keeps the requests."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Response) else await reply(request)


class Harness:
    """The parts that submit and poll, and shortcuts to what they work on. Texts are redacted as the process does."""

    def __init__(self, store: Store, clock: Clock, emitted: EmittedEvents) -> None:
        self.store = store
        self.clock = clock
        self.emitted = emitted
        redact = Redactor([KEY])
        self.emit = redacted(emitted, redact)
        self.ledger = Ledger(store, clock, redact)
        self.accounts: dict[str, Account] = {"fal": fal_account(), "heygen": heygen_account()}
        self.resubmit: Resubmit = "never"
        self.give_up_after = 3_600_000
        self.sleeps: list[float] = []

    def submitter(self, send: Send) -> Submitter:
        return Submitter(
            self.ledger,
            self.accounts,
            send,
            clock=self.clock,
            emit=self.emit,
            resubmit=self.resubmit,
            lease_ms=LEASE,
            give_up_after=self.give_up_after,
            sleep=self.sleep,
        )

    async def sleep(self, seconds: float) -> None:
        """Move the clock instead of waiting."""
        self.sleeps.append(seconds)
        self.clock.pass_seconds(seconds)

    def poller(self, send: Send) -> Poller:
        return Poller(self.ledger, self.accounts, send, clock=self.clock, emit=self.emit)

    async def accept(
        self,
        provider: str = "fal",
        *,
        model: str = "a/b",
        input: str = '{"x": 1}',  # noqa: A002 - the job's own field
    ) -> str:
        return (await self.ledger.accept(NewJob(provider=provider, model=model, input=input))).job_id

    async def claim(self, job_id: str, *, lease_ms: int = LEASE) -> None:
        """Claim a job as a worker does that then stops."""
        await self.ledger.claim(job_id, claim="claim_of_another_worker", until=self.clock() + lease_ms)

    async def submitted(self, provider: str = "fal", request_id: str = "req-1") -> str:
        """Submit a job, and make its first poll due."""
        job_id = await self.accept(provider)
        await self.claim(job_id)
        request = ProviderRequest(request_id=request_id)
        assert await self.ledger.confirm(job_id, provider, request, poll_at=self.clock())
        return job_id

    async def due(self, kind: Kind) -> Sequence[Task]:
        """Lease every task that is due."""
        return await self.ledger.queue.fetch(kind, lease_ms=LEASE, limit=100)

    async def submit_due(self, script: Script) -> int:
        """Handle every `submit` task that is due, and return how many there were."""
        tasks = await self.due("submit")
        for task in tasks:
            await self.submitter(script).handle(task)
        return len(tasks)

    async def poll_due(self, script: Script) -> int:
        """Handle every `poll` task that is due, and return how many there were."""
        tasks = await self.due("poll")
        for task in tasks:
            await self.poller(script).handle(task)
        return len(tasks)

    async def call_back(
        self, job_id: str, request_id: str = "req-1", outcome: Outcome | None = DONE, *, ours: bool = True
    ) -> RecordResult:
        """Record a callback of fal. Without `ours` it may be of another account."""
        report = Report(
            job_id=job_id,
            provider="fal",
            source="callback",
            request_id=request_id,
            outcome=outcome,
            headers="{}",
            body=b"{}",
            ours=ours,
        )
        return await self.ledger.record(report)

    async def job(self, job_id: str) -> Job:
        job = await self.ledger.job(job_id)
        assert job is not None
        return job

    async def events(self, job_id: str) -> list[str]:
        return [event.type for event in await self.ledger.events(job_id)]

    async def receipts(self, job_id: str) -> list[Receipt]:
        return await self.ledger.receipts(job_id)

    async def seconds_until_due(self, kind: Kind) -> float | None:
        """Return when the next task of this kind is due, from now; None when there is none."""
        due_at = await self.ledger.queue.next_due(kind)
        return None if due_at is None else (due_at - self.clock()) / 1000
