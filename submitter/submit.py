"""Submits accepted jobs: claims a job, sends it to its provider once, and records whether the provider has it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec

from ledger.clock import Clock
from ledger.errors import Closed, Contradiction, LedgerError, Unanswered
from ledger.identifiers import new_identifier
from ledger.ledger import Ledger
from ledger.records import Fault, JobError, JobState, Outcome
from ledger.requests import CLAIM_ENDED, HELD, ClaimResult, ProviderRequest, Task
from ledger.rows import Job
from providers.http import (
    AccountRefused,
    NeverSent,
    Refused,
    RetryLater,
    Send,
    SubmitResult,
    Submitted,
    Unknown,
    Unread,
)
from providers.provider import Account
from providers.registry import providers
from submitter.backoff import next_poll, next_submit
from submitter.pauses import Pauses
from submitter.provider_calls import ProviderCalls
from telemetry.emit import Emit
from telemetry.shielding import run_shielded
from work.job_endings import emit_ending
from work.off_loop import run_off_loop

Resubmit = Literal["never"] | int
"""RESUBMIT_UNCONFIRMED: never, or after so many milliseconds without a callback."""

MOST_SUBMISSIONS = 2
"""A job is submitted a second time at most, as in `claim_resubmission`: each submission may be billed."""

RETRY_SECONDS = 0.5
"""How long to wait before a claim or what a response means is written again."""


class Claimed(msgspec.Struct, frozen=True):
    """A job that this worker may submit until its claim ends."""

    task: Task
    job: Job
    claim: str


class Submitter:
    """Handles `submit` tasks. `lease_ms` is the length of a claim, `give_up_after` (ms) how long a job is retried."""

    def __init__(
        self,
        ledger: Ledger,
        accounts: Mapping[str, Account],
        send: Send,
        *,
        clock: Clock,
        emit: Emit,
        resubmit: Resubmit,
        lease_ms: int,
        give_up_after: int,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._ledger = ledger
        self._accounts = accounts
        self._send = send
        self._clock = clock
        self._emit = emit
        self._resubmit: Resubmit = resubmit
        self._lease_ms = lease_ms
        self._give_up_after = give_up_after
        self._sleep = sleep
        self._pauses = Pauses(clock=clock, emit=emit)

    async def handle(self, task: Task) -> None:
        """Submit the job of `task` if it can be claimed, or apply the policy for an unconfirmed one."""
        if self._pauses and await self._hold(task):
            return
        now = self._clock()
        claimed = await self._claim(task.subject, now)
        job = claimed.job
        if job is not None and claimed.lost:
            self._emit_error("job.became_unconfirmed", job, CLAIM_ENDED)
        if job is not None and claimed.claim is not None:
            if job.submissions > 1:
                self._emit("job.resubmitted", job=job.id, provider=job.provider, submissions=job.submissions)
            await self._submit(Claimed(task, job, claimed.claim))
        elif job is not None and job.state is JobState.UNCONFIRMED:
            await self._reschedule_or_expire(task, job, now)
        elif job is not None and job.state is JobState.SUBMITTING:
            await self._ledger.queue.reschedule(task, due_at=job.claimed_until or now, failed=False)
        else:
            await self._ledger.queue.finish(task)

    async def _hold(self, task: Task) -> bool:
        """Let an accepted job wait if its provider is paused. Returns whether it waits."""
        job = await self._ledger.job(task.subject)
        if job is None or job.state is not JobState.ACCEPTED:
            return False
        wait = self._pauses.wait(job.provider)
        if wait is not None:
            error, due_at = wait
            await self._ledger.hold(task, error=error, due_at=due_at)
        return wait is not None

    async def _claim(self, job_id: str, now: int) -> ClaimResult:
        """Claim the job, and repeat the same claim while the database does not confirm its commit.

        Otherwise a job that was never sent would become `unconfirmed` whenever the database fails over.
        """
        claim, until = new_identifier("claim", now), now + self._lease_ms
        unconfirmed_before = None if self._resubmit == "never" else now - self._resubmit
        while True:
            try:
                return await self._ledger.claim(job_id, claim=claim, until=until, unconfirmed_before=unconfirmed_before)
            except Unanswered:
                if self._clock() >= until:
                    raise
            await self._sleep(RETRY_SECONDS)

    async def _submit(self, claimed: Claimed) -> None:
        account = self._accounts.get(claimed.job.provider)
        if account is None:
            await self._record(claimed, Refused(error=_no_account_error(claimed.job.provider)))
            return
        calls = ProviderCalls(account, claimed.job, self._emit)
        result = await self._send_submission(calls, claimed.job)
        # A response that was read is recorded even if this task is cancelled.
        await run_shielded(self._record(claimed, result))

    async def _send_submission(self, calls: ProviderCalls, job: Job) -> SubmitResult:
        request = calls.submission()
        if isinstance(request, Refused):
            return request
        try:
            response = await self._send(request)
        except NeverSent as error:
            return RetryLater(error=_network_error("never_sent", f"{job.provider} was not reached: {error}"))
        except Unread as error:
            return Unknown(error=_network_error("answer_unread", f"no response of {job.provider} was read: {error}"))
        result = await run_off_loop(len(response.body), calls.read_submission, response)
        calls.emit_warning(response)
        return result

    async def _record(self, claimed: Claimed, result: SubmitResult) -> None:
        """Record what a response means, and repeat that while the database does not confirm it.

        The id of a request, which is paid for, counts whenever it is recorded: that is repeated until the process ends.
        Anything else counts until the claim ends.
        """
        job, request_id = claimed.job, result.request_id if isinstance(result, Submitted) else None
        while True:
            try:
                return await self._settle(claimed, result)
            except LedgerError as error:
                self._emit("job.record_failed", job=job.id, provider=job.provider, request=request_id, error=str(error))
                over = request_id is None and self._clock() >= (job.claimed_until or 0)
                if over or isinstance(error, Closed | Contradiction):
                    raise
            await self._sleep(RETRY_SECONDS)

    async def _settle(self, claimed: Claimed, result: SubmitResult) -> None:
        match result:
            case Submitted():
                self._pauses.end(claimed.job.provider)
                await self._confirm(claimed, result)
            case Refused(error=error):
                if error.fault is not Fault.RENDERHOOK:
                    self._pauses.end(claimed.job.provider)
                await self._refuse(claimed, error)
            case AccountRefused(error=error):
                await self._pause(claimed, error)
            case RetryLater():
                await self._retry_later(claimed, result)
            case Unknown(error=error):
                await self._mark_unconfirmed(claimed, error)

    async def _confirm(self, claimed: Claimed, submitted: Submitted) -> None:
        job = claimed.job
        interval = ProviderCalls(self._accounts[job.provider], job, self._emit).poll_interval
        poll_at = self._clock() + next_poll(interval, 0, None, stretch=False)
        request = ProviderRequest(**msgspec.structs.asdict(submitted))
        confirmed = await self._ledger.confirm(job.id, job.provider, request, poll_at=poll_at)
        event = "job.submitted" if confirmed else await self._event_of_late_response(job, request)
        self._emit(event, job=job.id, provider=job.provider, request=request.request_id)

    async def _event_of_late_response(self, job: Job, request: ProviderRequest) -> str:
        """Return the event for a response that did not change the job."""
        current = await self._ledger.job(job.id)
        same = current is not None and current.provider_request_id == request.request_id
        # The same request: its callback was recorded first. Another: two requests, and both may be billed.
        return "job.already_confirmed" if same else "job.request_id_conflicted"

    async def _refuse(self, claimed: Claimed, error: JobError) -> None:
        if claimed.job.submissions > 1:  # the first submission may be running: its callback decides
            message = f"the second submission was not taken ({error.message}), and the first may be running"
            await self._mark_unconfirmed(claimed, msgspec.structs.replace(error, message=message))
            return
        job, outcome = claimed.job, Outcome.failed(error)
        if await self._ledger.refuse(claimed.task, outcome, claim=claimed.claim):
            emit_ending(self._emit, outcome, job=job.id, provider=job.provider, source="submission")

    async def _retry_later(self, claimed: Claimed, result: RetryLater) -> None:
        job, now, error = claimed.job, self._clock(), result.error
        if result.limit is not None and job.server_errors + 1 >= result.limit:
            await self._refuse(claimed, _limit_error(job, error))
            return
        if job.error is not None and job.error.code == HELD:
            self._pauses.restart_time(job.provider)
        since = max(job.created_at, job.unconfirmed_at or 0, self._pauses.counted_from(job.provider))
        if now - since >= self._give_up_after:
            await self._refuse(claimed, error)
            return
        due_at = now + next_submit(claimed.task.tries, result.retry_after)
        await self._return_to_accepted(claimed, error, due_at, unclear=result.limit is not None)

    async def _pause(self, claimed: Claimed, reason: JobError) -> None:
        provider = providers().get(claimed.job.provider)
        setting = provider.missing if provider else "its key"
        error, due_at = self._pauses.begin(claimed.job.provider, reason, setting)
        await self._return_to_accepted(claimed, error, due_at)

    async def _return_to_accepted(
        self, claimed: Claimed, error: JobError, due_at: int, *, unclear: bool = False
    ) -> None:
        job = claimed.job
        kept = job.error if job.submissions > 1 else error  # why the first submission is unconfirmed
        if await self._ledger.return_to_accepted(
            claimed.task, claim=claimed.claim, error=kept, server_error=unclear, due_at=due_at
        ):
            taken = "unclear" if unclear else "no"
            self._emit_error("job.submit_rescheduled", job, error, tries=claimed.task.tries + 1, taken=taken)

    async def _mark_unconfirmed(self, claimed: Claimed, reason: JobError) -> None:
        message = f"it is unknown whether {claimed.job.provider} runs this job: {reason.message}"
        error = JobError(fault=reason.fault, code=reason.code, message=message)
        due_at = self._unconfirmed_until(claimed.job, unconfirmed_at=self._clock())
        # False when its callback was recorded first.
        if await self._ledger.mark_unconfirmed(claimed.task, claim=claimed.claim, error=error, due_at=due_at):
            self._emit_error("job.became_unconfirmed", claimed.job, error)

    async def _reschedule_or_expire(self, task: Task, job: Job, now: int) -> None:
        until = self._unconfirmed_until(job, unconfirmed_at=job.unconfirmed_at or now)
        if now < until:
            await self._ledger.queue.reschedule(task, due_at=until, failed=False)
            return
        outcome = Outcome.expired(self._unknown_error(job, now))
        if await self._ledger.expire(task, outcome, last_transition=job.last_transition):
            emit_ending(self._emit, outcome, job=job.id, provider=job.provider, source="submission")

    def _unconfirmed_until(self, job: Job, *, unconfirmed_at: int) -> int:
        """Return when an unconfirmed job is submitted again or expires: ms since the epoch."""
        if self._resubmit != "never" and job.submissions < MOST_SUBMISSIONS:
            return unconfirmed_at + self._resubmit
        account = self._accounts.get(job.provider)
        # As long as the provider may be running it, whether a callback may come or not.
        return unconfirmed_at + (ProviderCalls(account, job, self._emit).give_up_after if account else 0)

    def _unknown_error(self, job: Job, now: int) -> JobError:
        account = self._accounts.get(job.provider)
        unknown = (job.error or CLAIM_ENDED).message.rstrip(".")
        outcome = f"No callback was verified within {(now - (job.unconfirmed_at or now)) // 1000} s"
        if account is None or not ProviderCalls(account, job, self._emit).calls_back:
            outcome = f"{job.provider} does not call back, and without the id of a request it cannot be polled"
        message = (
            f"{unknown}. {outcome}. It may have been billed: check the provider's own dashboard before submitting it "
            f"again"
        )
        own = job.error is not None and job.error.fault is Fault.RENDERHOOK
        return JobError(fault=Fault.RENDERHOOK if own else Fault.NETWORK, code="unconfirmed", message=message)

    def _emit_error(self, event: str, job: Job, error: JobError, **fields: object) -> None:
        error_fields = {"fault": error.fault, "code": error.code, "message": error.message}
        self._emit(event, job=job.id, provider=job.provider, **fields, **error_fields)


def _no_account_error(name: str) -> JobError:
    provider = providers().get(name)
    reason = f"{provider.missing} is not set" if provider else "it is not installed"
    message = f"{reason}: no job can be submitted to {name}"
    return JobError(fault=Fault.RENDERHOOK, code="no_account", message=message, retryable=True)


def _limit_error(job: Job, last: JobError) -> JobError:
    message = (
        f"{job.provider} answered {job.server_errors + 1} submissions of this job with a failure of its own, the last "
        f"with: {last.message}. It may have taken the job all the same: check its dashboard before submitting it again"
    )
    return JobError(fault=last.fault, code=last.code, message=message)


def _network_error(code: str, message: str) -> JobError:
    return JobError(fault=Fault.NETWORK, code=code, message=message, retryable=True)
