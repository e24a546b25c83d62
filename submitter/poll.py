"""Checking: ask a provider what became of a job, and record what it says through the same mouth as a callback."""

from collections.abc import Callable, Mapping

import msgspec

from ledger.clock import Clock
from ledger.ledger import Ledger
from ledger.records import Fault, JobError, JobState, Outcome, ProviderName
from ledger.requests import Report, Task
from ledger.rows import Job
from providers.http import (
    Ended,
    Missing,
    NeverSent,
    PollResult,
    Request,
    Response,
    ResultReady,
    Running,
    Send,
    TryLater,
    Unread,
)
from submitter.accounts import Account
from submitter.backoff import next_poll
from telemetry.emit import Emit
from telemetry.shielding import run_shielded

MISSING_TRIES = 5
"""How often a provider may say that it does not know a request before we believe it: it may only not know it yet."""


class Poller:
    """Handles `check` tasks."""

    def __init__(
        self,
        ledger: Ledger,
        accounts: Mapping[ProviderName, Account],
        send: Send,
        *,
        clock: Clock,
        emit: Emit,
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._send = send
        self._clock = clock
        self._emit = emit

    async def handle(self, task: Task) -> None:
        """Look at the job of `task`: record its end, or look again later, or give it up."""
        job = await self._ledger.job(task.subject)
        if job is None or job.state is not JobState.SUBMITTED:
            await self._ledger.queue.finish(task)
            return
        account = self._accounts.get(job.provider)
        if account is None:
            self._emit("provider.not_configured", job=job.id, provider=job.provider)
            await self._ledger.queue.reschedule(task, due_at=self._clock() + 60_000, failed=False)
            return
        verdict, answer = await self._ask(account, account.check(job), account.read_poll)
        if isinstance(verdict, ResultReady):
            verdict, answer = await self._ask(account, account.result(job), account.read_result)
        if isinstance(verdict, Missing) and task.tries >= MISSING_TRIES:
            verdict = Ended(outcome=Outcome.failed(_missing(job)))
        # An answer, once read, is recorded even if this task is cancelled.
        await run_shielded(self._settle(task, job, account, verdict, answer))

    async def _ask(
        self, account: Account, request: Request, read: Callable[[Response], PollResult]
    ) -> tuple[PollResult, Response | None]:
        try:
            answer = await self._send(request)
        except (NeverSent, Unread) as error:
            message = f"{account.provider} did not answer: {error}"
            return TryLater(error=JobError(fault=Fault.NETWORK, code="unanswered", message=message)), None
        if warning := account.warning(answer):
            self._emit("provider.warning_received", provider=account.provider, warning=warning)
        return read(answer), answer

    async def _settle(
        self, task: Task, job: Job, account: Account, verdict: PollResult, answer: Response | None
    ) -> None:
        if isinstance(verdict, Ended) and answer is not None:
            await self._record(job, verdict.outcome, answer)
            return
        if isinstance(verdict, TryLater):
            self._emit(
                "poll.failed",
                job=job.id,
                provider=job.provider,
                fault=verdict.error.fault,
                code=verdict.error.code,
                message=verdict.error.message,
            )
        await self._wait_or_expire(task, job, account, verdict)

    async def _record(self, job: Job, outcome: Outcome, answer: Response) -> None:
        report = Report(
            job_id=job.id,
            provider=job.provider,
            source="poll",
            request_id=job.provider_request_id or "",
            outcome=outcome,
            headers=msgspec.json.encode({"status": answer.status}).decode(),
            body=answer.body,
        )
        result = await self._ledger.record(report)
        self._emit("poll.recorded", job=job.id, provider=job.provider, state=outcome.state, result=result)

    async def _wait_or_expire(self, task: Task, job: Job, account: Account, verdict: PollResult) -> None:
        now = self._clock()
        submitted_at = job.submitted_at or now
        deadline = submitted_at + account.give_up_after
        looked = isinstance(verdict, Running | ResultReady)
        if now >= deadline and (looked or now >= deadline + account.give_up_after):
            # This was the last look. One that nobody answered is none: it is tried for as long again.
            error = _nobody_answered(job, now - submitted_at)
            if await self._ledger.expire(task, Outcome.expired(error), last_transition=job.last_transition):
                self._emit("job.expired", job=job.id, provider=job.provider, code=error.code, message=error.message)
            return
        retry_after = verdict.retry_after if isinstance(verdict, Running | TryLater) else None
        delay = next_poll(account.poll_interval, now - submitted_at, retry_after, stretch=account.calls_back)
        due_at = min(now + delay, deadline) if now < deadline else now + delay
        missing = isinstance(verdict, Missing)  # the only answer that is counted; waiting is not failing
        await self._ledger.queue.reschedule(task, due_at=due_at, failed=missing)


def _missing(job: Job) -> JobError:
    return JobError(
        fault=Fault.PROVIDER,
        code="not_found",
        message=f"{job.provider} does not know request {job.provider_request_id} (any more)",
    )


def _nobody_answered(job: Job, age: int) -> JobError:
    return JobError(
        fault=Fault.PROVIDER,
        code="timed_out",
        message=f"{job.provider} was not seen to finish request {job.provider_request_id} within "
        f"{age // 1000} s; it may still finish, and be billed",
    )
