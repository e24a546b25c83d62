"""Polls providers for submitted jobs, and records outcomes as a callback would."""

from collections.abc import Mapping

import msgspec

from ledger.clock import Clock
from ledger.errors import Contradiction
from ledger.identifiers import new_identifier
from ledger.ledger import Ledger
from ledger.records import Fault, JobError, JobState, Outcome, RecordResult
from ledger.requests import ProviderRequest, Report, Task
from ledger.rows import Job
from providers.http import (
    AskNext,
    Ended,
    NeverSent,
    NotFound,
    PollResult,
    Response,
    RetryLater,
    Running,
    Send,
    TooLong,
    Unread,
    Unreadable,
)
from providers.provider import Account
from submitter.backoff import next_poll
from submitter.poll_results import (
    last_poll_error,
    not_found_error,
    read_too_long,
    says_enough,
    unreadable_outcome,
    unrecordable_error,
)
from submitter.provider_calls import ProviderCalls
from telemetry.emit import Emit
from telemetry.shielding import run_shielded
from work.job_endings import emit_ending
from work.off_loop import run_off_loop

NOT_FOUND_TRIES = 5
"""How often a provider may not find a request before the job fails: the provider may not know it yet."""

UNREADABLE_TRIES = 5
"""How often the result of a job that has ended may be unreadable before the job fails: a proxy may answer instead."""

MOST_REQUESTS = 4
"""Requests of one poll. A provider that asks for more is polled again later."""

MOST_NAMED_REQUESTS = 20
"""Requests polled for one job that callbacks named and that may be of another account."""


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
        if job is None or job.state.is_terminal:
            await self._ledger.queue.finish(task)
            return
        account = self._accounts.get(job.provider)
        if account is None:
            self._emit("provider.not_configured", job=job.id, provider=job.provider)
            await self._ledger.queue.reschedule(task, due_at=self._clock() + 60_000, failed=False)
            return
        calls = ProviderCalls(account, job, self._emit)
        if job.state is not JobState.SUBMITTED or job.submissions > 1:
            again = await self._poll_named(task, job, account)
            if job.state is not JobState.SUBMITTED:
                await self._finish_or_reschedule(task, calls, again=again)
                return
        result, response = await self._poll(calls, job)
        if isinstance(result, NotFound) and task.tries >= NOT_FOUND_TRIES:
            result = Ended(outcome=Outcome.failed(not_found_error(job)))
        # A response that was read is recorded even if this task is cancelled.
        await run_shielded(self._settle(task, job, calls, result, response))

    async def _poll_named(self, task: Task, job: Job, account: Account) -> bool:
        """Poll the requests that callbacks named and that may be of another account: what our key finds is ours.

        Returns whether one of them has to be polled again.
        """
        again = False
        for request_id in await self._ledger.named_requests(job.id, limit=MOST_NAMED_REQUESTS):
            if request_id == job.provider_request_id:
                continue
            named = msgspec.structs.replace(
                job, provider_request_id=request_id, status_url=None, response_url=None, cancel_url=None
            )
            result, response = await self._poll(ProviderCalls(account, named, self._emit), named)
            if isinstance(result, Ended) and response is not None:
                receipt = new_identifier("rcpt", self._clock())
                again |= await run_shielded(self._record(named, result.outcome, response, receipt)) is not None
            elif isinstance(result, RetryLater) or (isinstance(result, Unreadable) and not result.ended):
                self._emit_failure(job, result.error)
                again = True
            elif isinstance(result, NotFound) and task.tries < NOT_FOUND_TRIES:
                again = True
            elif isinstance(result, NotFound):
                self._emit("callback.disproved", job=job.id, provider=job.provider, request=request_id)
            elif job.provider_request_id is None:  # our key found it, and it has not ended or cannot be read yet
                await run_shielded(self._confirm(named))
        return again

    async def _confirm(self, named: Job) -> None:
        request = ProviderRequest(request_id=named.provider_request_id or "")
        if await self._ledger.confirm(named.id, named.provider, request, poll_at=self._clock()):
            self._emit("job.submitted", job=named.id, provider=named.provider, request=request.request_id)

    async def _finish_or_reschedule(self, task: Task, calls: ProviderCalls, *, again: bool) -> None:
        """Finish the task of a job whose request was not known, unless it is known now or has to be polled `again`."""
        job = await self._ledger.job(task.subject)
        if again or (job is not None and job.state is JobState.SUBMITTED):
            await self._ledger.queue.reschedule(task, due_at=self._clock() + calls.poll_interval, failed=again)
        else:
            await self._ledger.queue.finish(task)

    async def _poll(self, calls: ProviderCalls, job: Job) -> tuple[PollResult, Response | None]:
        result: PollResult = calls.poll()
        response = None
        for _ in range(MOST_REQUESTS):
            if not isinstance(result, AskNext):
                break
            try:
                response = await self._send(result.request)
            except TooLong as error:
                return read_too_long(job, result.request, error)
            except (NeverSent, Unread) as error:
                message = f"no response of {job.provider} was read: {error}"
                return RetryLater(error=JobError(fault=Fault.NETWORK, code="unanswered", message=message)), None
            result = await run_off_loop(len(response.body), calls.read_poll, result, response)
            calls.emit_warning(response)
        return result, response

    async def _settle(
        self, task: Task, job: Job, calls: ProviderCalls, result: PollResult, response: Response | None
    ) -> None:
        receipt = new_identifier("rcpt", self._clock())
        if isinstance(result, Unreadable) and self._is_last_try(task, job, calls, result):
            result = Ended(outcome=unreadable_outcome(result, receipt))
        if isinstance(result, Ended) and response is not None:
            unrecordable = await self._record(job, result.outcome, response, receipt)
            if unrecordable is None:
                return
            result = RetryLater(error=unrecordable)
        if isinstance(result, RetryLater | Unreadable):
            self._emit_failure(job, result.error)
        await self._reschedule_or_expire(task, job, calls, result)

    def _emit_failure(self, job: Job, error: JobError) -> None:
        fields = {"fault": error.fault, "code": error.code, "message": error.message}
        self._emit("poll.failed", job=job.id, provider=job.provider, **fields)

    def _is_last_try(self, task: Task, job: Job, calls: ProviderCalls, result: Unreadable) -> bool:
        if result.ended:
            return task.tries >= UNREADABLE_TRIES
        return self._clock() >= (job.submitted_at or 0) + 2 * calls.give_up_after

    async def _record(self, job: Job, outcome: Outcome, response: Response, receipt: str) -> JobError | None:
        """Record an outcome. Returns an error if the database rejects it, as it may one of an installed provider."""
        headers: dict[str, object] = {"status": response.status}
        if response.longer_than is not None:
            headers["longer_than"] = response.longer_than
        report = Report(
            job_id=job.id,
            provider=job.provider,
            source="poll",
            request_id=job.provider_request_id or "",
            outcome=outcome,
            headers=msgspec.json.encode(headers).decode(),
            body=response.body,
            receipt=receipt,
        )
        try:
            result = await self._ledger.record(report)
        except Contradiction as error:
            self._emit("poll.record_failed", job=job.id, provider=job.provider, error=str(error))
            return unrecordable_error(job, response)
        self._emit("poll.recorded", job=job.id, provider=job.provider, state=outcome.state, result=result)
        if result is RecordResult.RECORDED:
            self._emit_ending(job, outcome)
        return None

    async def _reschedule_or_expire(self, task: Task, job: Job, calls: ProviderCalls, result: PollResult) -> None:
        now = self._clock()
        submitted_at = job.submitted_at or now
        give_up_after = calls.give_up_after
        deadline = submitted_at + give_up_after
        if now >= deadline and (says_enough(result) or now >= deadline + give_up_after):
            # This was the last poll. One without a usable response is repeated for as long again.
            outcome = Outcome.expired(last_poll_error(job, now - submitted_at, result))
            if await self._ledger.expire(task, outcome, last_transition=job.last_transition):
                self._emit_ending(job, outcome)
            return
        retry_after = result.retry_after if isinstance(result, Running | RetryLater | Unreadable) else None
        delay = next_poll(calls.poll_interval, now - submitted_at, retry_after, stretch=calls.calls_back)
        due_at = min(now + delay, deadline) if now < deadline else now + delay
        # Nothing else counts as a try: a running job may take long.
        failed = isinstance(result, NotFound) or (isinstance(result, Unreadable) and result.ended)
        await self._ledger.queue.reschedule(task, due_at=due_at, failed=failed)

    def _emit_ending(self, job: Job, outcome: Outcome) -> None:
        emit_ending(
            self._emit, outcome, job=job.id, provider=job.provider, source="poll", request=job.provider_request_id
        )
