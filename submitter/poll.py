"""Polls providers for submitted jobs, and records outcomes as a callback would."""

from collections.abc import Mapping

import msgspec

from ledger.clock import Clock
from ledger.errors import Contradiction
from ledger.ledger import Ledger
from ledger.records import Fault, JobError, JobState, Outcome
from ledger.requests import Report, Task
from ledger.rows import Job
from providers.http import AskNext, Ended, NeverSent, NotFound, PollResult, Response, RetryLater, Running, Send, Unread
from providers.provider import Account
from submitter.backoff import next_poll
from submitter.provider_calls import PROVIDER_RAISED, ProviderCalls
from telemetry.emit import Emit
from telemetry.shielding import run_shielded

NOT_FOUND_TRIES = 5
"""How often a provider may not find a request before the job fails: the provider may not know it yet."""

MOST_REQUESTS = 4
"""Requests of one poll. A provider that asks for more is polled again later."""

UNRECORDABLE = "unrecordable"
"""The code of the error when the database rejects what a provider reported."""


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
        calls = ProviderCalls(account, job, self._emit)
        result, response = await self._poll(calls, job)
        if isinstance(result, NotFound) and task.tries >= NOT_FOUND_TRIES:
            result = Ended(outcome=Outcome.failed(_not_found_error(job)))
        # A response that was read is recorded even if this task is cancelled.
        await run_shielded(self._settle(task, job, calls, result, response))

    async def _poll(self, calls: ProviderCalls, job: Job) -> tuple[PollResult, Response | None]:
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
        self, task: Task, job: Job, calls: ProviderCalls, result: PollResult, response: Response | None
    ) -> None:
        if isinstance(result, Ended) and response is not None:
            unrecordable = await self._record(job, result.outcome, response)
            if unrecordable is None:
                return
            result = RetryLater(error=unrecordable)
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
        await self._reschedule_or_expire(task, job, calls, result)

    async def _record(self, job: Job, outcome: Outcome, response: Response) -> JobError | None:
        """Record an outcome. Returns an error if the database rejects it, as it may one of an installed provider."""
        report = Report(
            job_id=job.id,
            provider=job.provider,
            source="poll",
            request_id=job.provider_request_id or "",
            outcome=outcome,
            headers=msgspec.json.encode({"status": response.status}).decode(),
            body=response.body,
        )
        try:
            result = await self._ledger.record(report)
        except Contradiction as error:
            self._emit("poll.record_failed", job=job.id, provider=job.provider, error=str(error))
            return _unrecordable_error(job, response)
        self._emit("poll.recorded", job=job.id, provider=job.provider, state=outcome.state, result=result)
        return None

    async def _reschedule_or_expire(self, task: Task, job: Job, calls: ProviderCalls, result: PollResult) -> None:
        now = self._clock()
        submitted_at = job.submitted_at or now
        give_up_after = calls.give_up_after
        deadline = submitted_at + give_up_after
        if now >= deadline and (_says_enough(result) or now >= deadline + give_up_after):
            # This was the last poll. One without a usable response is repeated for as long again.
            error = _last_poll_error(job, now - submitted_at, result)
            if await self._ledger.expire(task, Outcome.expired(error), last_transition=job.last_transition):
                self._emit("job.expired", job=job.id, provider=job.provider, code=error.code, message=error.message)
            return
        retry_after = result.retry_after if isinstance(result, Running | RetryLater) else None
        delay = next_poll(calls.poll_interval, now - submitted_at, retry_after, stretch=calls.calls_back)
        due_at = min(now + delay, deadline) if now < deadline else now + delay
        failed = isinstance(result, NotFound)  # the only result that counts as a try: a running job may take long
        await self._ledger.queue.reschedule(task, due_at=due_at, failed=failed)


def _says_enough(result: PollResult) -> bool:
    """Return whether another poll after the deadline would say no more: the job runs, or our side cannot read it."""
    unreadable = isinstance(result, RetryLater) and result.error.code in {PROVIDER_RAISED, UNRECORDABLE}
    return unreadable or isinstance(result, Running | AskNext)


def _unrecordable_error(job: Job, response: Response) -> JobError:
    message = (
        f"the outcome that the provider {job.provider} reported, HTTP {response.status} with {len(response.body)} "
        f"bytes, cannot be recorded; see poll.record_failed in the log"
    )
    return JobError(fault=Fault.RENDERHOOK, code=UNRECORDABLE, message=message)


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
