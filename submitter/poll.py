"""Polls providers for submitted jobs, and records outcomes as a callback would."""

from collections.abc import Mapping

import msgspec

from ledger.clock import Clock
from ledger.ledger import Ledger
from ledger.records import Fault, JobError, JobState, Outcome, RecordResult
from ledger.requests import Report, Task
from ledger.rows import Job
from providers.http import AskNext, Ended, NeverSent, NotFound, PollResult, Response, RetryLater, Running, Send, Unread
from providers.provider import Account
from submitter.backoff import next_poll
from submitter.provider_calls import ProviderCalls
from telemetry.emit import Emit
from telemetry.shielding import run_shielded
from work.job_endings import emit_ending

NOT_FOUND_TRIES = 5
"""How often a provider may not find a request before the job fails: the provider may not know it yet."""

MOST_REQUESTS = 4
"""Requests of one poll. A provider that asks for more is polled again later."""


class Poller:
    """Handles `poll` tasks."""

    def __init__(
        self, ledger: Ledger, accounts: Mapping[str, Account], send: Send, *, clock: Clock, emit: Emit
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._send = send
        self._clock = clock
        self._emit = emit

    async def handle(self, task: Task) -> None:
        """Poll the job of `task`: record its outcome, reschedule the task, or expire the job."""
        job = await self._ledger.job(task.subject)
        if job is None or job.state is not JobState.SUBMITTED:
            await self._ledger.queue.finish(task)
            return
        account = self._accounts.get(job.provider)
        if account is None:
            self._emit("provider.not_configured", job=job.id, provider=job.provider)
            await self._ledger.queue.reschedule(task, due_at=self._clock() + 60_000, failed=False)
            return
        result, response = await self._poll(account, job)
        if isinstance(result, NotFound) and task.tries >= NOT_FOUND_TRIES:
            result = Ended(outcome=Outcome.failed(_not_found_error(job)))
        # A response that was read is recorded even if this task is cancelled.
        await run_shielded(self._settle(task, job, account, result, response))

    async def _poll(self, account: Account, job: Job) -> tuple[PollResult, Response | None]:
        calls = ProviderCalls(account, job, self._emit)
        result: PollResult = calls.poll()
        response = None
        for _ in range(MOST_REQUESTS):
            if not isinstance(result, AskNext):
                break
            try:
                response = await self._send(result.request)
            except (NeverSent, Unread) as error:
                message = f"{job.provider} did not answer: {error}"
                return RetryLater(error=JobError(fault=Fault.NETWORK, code="unanswered", message=message)), None
            calls.emit_warning(response)
            result = calls.read_poll(result, response)
        return result, response

    async def _settle(
        self, task: Task, job: Job, account: Account, result: PollResult, response: Response | None
    ) -> None:
        if isinstance(result, Ended) and response is not None:
            await self._record(job, result.outcome, response)
            return
        if isinstance(result, RetryLater):
            error = result.error
            self._emit(
                "poll.failed",
                job=job.id,
                provider=job.provider,
                fault=error.fault,
                code=error.code,
                message=error.message,
            )
        await self._reschedule_or_expire(task, job, account, result)

    async def _record(self, job: Job, outcome: Outcome, response: Response) -> None:
        report = Report(
            job_id=job.id,
            provider=job.provider,
            source="poll",
            request_id=job.provider_request_id or "",
            outcome=outcome,
            headers=msgspec.json.encode({"status": response.status}).decode(),
            body=response.body,
        )
        result = await self._ledger.record(report)
        self._emit("poll.recorded", job=job.id, provider=job.provider, state=outcome.state, result=result)
        if result is RecordResult.RECORDED:
            request = job.provider_request_id
            emit_ending(self._emit, outcome, job=job.id, provider=job.provider, source="poll", request=request)

    async def _reschedule_or_expire(self, task: Task, job: Job, account: Account, result: PollResult) -> None:
        now = self._clock()
        submitted_at = job.submitted_at or now
        deadline = submitted_at + account.give_up_after
        still_running = isinstance(result, Running | AskNext)
        if now >= deadline and (still_running or now >= deadline + account.give_up_after):
            # This was the last poll. One without a usable response is repeated for as long again.
            error = _last_poll_error(job, now - submitted_at, result)
            outcome = Outcome.expired(error)
            if await self._ledger.expire(task, outcome, last_transition=job.last_transition):
                emit_ending(self._emit, outcome, job=job.id, provider=job.provider, request=job.provider_request_id)
            return
        retry_after = result.retry_after if isinstance(result, Running | RetryLater) else None
        delay = next_poll(account.poll_interval, now - submitted_at, retry_after, stretch=account.calls_back)
        due_at = min(now + delay, deadline) if now < deadline else now + delay
        failed = isinstance(result, NotFound)  # the only result that counts as a try: a running job may take long
        await self._ledger.queue.reschedule(task, due_at=due_at, failed=failed)


def _not_found_error(job: Job) -> JobError:
    return JobError(
        fault=Fault.PROVIDER,
        code="not_found",
        message=f"{job.provider} does not know request {job.provider_request_id} (any more)",
    )


def _last_poll_error(job: Job, age: int, result: PollResult) -> JobError:
    if isinstance(result, RetryLater):
        message = (
            f"the end of request {job.provider_request_id} was not read within {age // 1000} s; it may have ended, and "
            f"be billed. At the last poll: {result.error.message}"
        )
        return JobError(fault=result.error.fault, code="unread", message=message)
    return JobError(
        fault=Fault.PROVIDER,
        code="timed_out",
        message=f"{job.provider} did not report the end of request {job.provider_request_id} within {age // 1000} s; "
        f"it may still finish, and be billed",
    )
