"""A desk at which jobs are submitted and checked: a real ledger, our accounts, and a provider that follows a script."""

import json
from collections.abc import Awaitable, Callable, Sequence

from ledger.ledger import Ledger
from ledger.records import Outcome, Output, ProviderName, RecordResult
from ledger.requests import Kind, NewJob, ProviderRequest, Report, Task
from ledger.rows import Job, Receipt
from ledger.sqlite.store import SQLiteStore
from ledger.transitions import jobs, outcomes, submissions
from ledger.transitions import queue as work
from providers.callback_tokens import CallbackTokens
from providers.http import Request, Response, Send
from submitter.accounts import Account, FalAccount, HeygenAccount
from submitter.poll import Poller
from submitter.submit import Resubmit, Submitter
from tests.conftest import Clock, Heard

TOKENS = CallbackTokens(["a key of the tests"])
LEASE = 70_000
DONE = Outcome.completed((Output(url="https://v3b.fal.media/files/a/b.mp4"),))

Reply = Response | Exception | Callable[[Request], Awaitable[Response]]


def fal_account(*, calls_back: bool = True) -> FalAccount:
    return FalAccount(
        queue_url="https://queue.fal.run",
        key="kid:secret",
        tokens=TOKENS,
        public_url="https://hooks.example" if calls_back else None,
        poll_every=5_000,
        reconcile_every=60_000,
        give_up_after=86_400_000,
    )


def heygen_account() -> HeygenAccount:
    return HeygenAccount(api_url="https://api.heygen.com", key="hg-key", poll_every=10_000, give_up_after=600_000)


def answer(status: int = 200, body: object = None, **headers: str) -> Response:
    raw = body if isinstance(body, bytes) else json.dumps({} if body is None else body).encode()
    return Response(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=raw)


def taken(request_id: str = "req-1") -> Response:
    return answer(200, {"request_id": request_id, "data": {"execution_id": request_id, "status": "submitted"}})


class Script:
    """A `Send` that replies what it was told to, in order, the last for ever, and keeps what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.replies = list(replies)
        self.asked: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.asked.append(request)
        reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if isinstance(reply, Exception):
            raise reply
        return reply if isinstance(reply, Response) else await reply(request)


class Desk:
    def __init__(self, store: SQLiteStore, clock: Clock, heard: Heard) -> None:
        self.store = store
        self.clock = clock
        self.heard = heard
        self.accounts: dict[ProviderName, Account] = {"fal": fal_account(), "heygen": heygen_account()}
        self.resubmit: Resubmit = "never"
        self.give_up_after = 3_600_000
        self.naps: list[float] = []

    def submitter(self, script: Send) -> Submitter:
        return Submitter(
            Ledger(self.store, self.clock),
            self.accounts,
            script,
            clock=self.clock,
            emit=self.heard,
            resubmit=self.resubmit,
            lease_ms=LEASE,
            give_up_after=self.give_up_after,
            sleep=self.nap,
        )

    async def nap(self, seconds: float) -> None:
        """Let the clock, and nobody else, wait."""
        self.naps.append(seconds)
        self.clock.pass_seconds(seconds)

    def poller(self, script: Send) -> Poller:
        return Poller(Ledger(self.store, self.clock), self.accounts, script, clock=self.clock, emit=self.heard)

    async def accept(self, provider: ProviderName = "fal", **fields: object) -> str:
        new = NewJob(**({"provider": provider, "model": "a/b", "input": '{"x": 1}'} | fields))  # type: ignore[arg-type]  # tests name the fields
        return (await self.store.write(jobs.accept(new, now=self.clock()))).job_id

    async def submitted(self, provider: ProviderName = "fal", request_id: str = "req-1") -> str:
        """Accept a job that the provider takes at once, its first look due at once too."""
        job_id, now = await self.accept(provider), self.clock()
        await self.store.write(submissions.claim(job_id, now=now, until=now + LEASE))
        handle = ProviderRequest(request_id=request_id)
        assert await self.store.write(submissions.confirm(job_id, provider, handle, now=now, poll_at=now))
        return job_id

    async def due(self, kind: Kind) -> Sequence[Task]:
        now = self.clock()
        return await self.store.write(work.fetch(kind, now=now, until=now + LEASE, limit=100))

    async def submit(self, script: Script) -> int:
        """ProviderRequest what is due to be submitted, and tell how much that was."""
        tasks = await self.due("submit")
        for task in tasks:
            await self.submitter(script).handle(task)
        return len(tasks)

    async def check(self, script: Script) -> int:
        """Look at what is due to be looked at, and tell how much that was."""
        tasks = await self.due("poll")
        for task in tasks:
            await self.poller(script).handle(task)
        return len(tasks)

    async def call_back(self, job_id: str, request_id: str = "req-1", outcome: Outcome | None = DONE) -> RecordResult:
        report = Report(
            job_id=job_id,
            provider="fal",
            source="callback",
            request_id=request_id,
            outcome=outcome,
            headers="{}",
            body=b"{}",
        )
        return await self.store.write(outcomes.record(report, now=self.clock()))

    async def job(self, job_id: str) -> Job:
        job = await jobs.read_job(self.store, job_id)
        assert job is not None
        return job

    async def events(self, job_id: str) -> list[str]:
        return [event.type for event in await jobs.list_events(self.store, job_id)]

    async def receipts(self, job_id: str) -> list[Receipt]:
        return await jobs.list_receipts(self.store, job_id)

    async def seconds_until_due(self, kind: Kind) -> float | None:
        """Tell when the next work of this kind is due, from now; None when there is none."""
        due_at = (await self.store.read("next_due", {"kind": kind}))[0]["due_at"]
        return None if due_at is None else (due_at - self.clock()) / 1000
