"""Submitting: claim the job, ask the provider once, and note what it said, or that nobody knows."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal

import msgspec

from ledger.clock import Clock
from ledger.errors import LedgerError, Unanswered, Unavailable
from ledger.identifiers import new_identifier
from ledger.ledger import Ledger
from ledger.records import Fault, JobError, JobState, Outcome, ProviderName
from ledger.requests import ClaimResult, ProviderRequest, Task
from ledger.rows import Job
from providers.http import NeverSent, Refused, Send, SubmitResult, Submitted, TryLater, Unclear, Unread
from submitter.accounts import Account
from submitter.backoff import next_poll, next_submit
from telemetry.emit import Emit
from telemetry.shielding import run_shielded

Resubmit = Literal["never"] | int
"""RESUBMIT_UNCONFIRMED: never, or after so many milliseconds without a sign of the job."""


MOST_SUBMISSIONS = 2
"""A job is submitted again once, as `claim_resubmission` says: each time may be billed."""


NOTE_AGAIN_SECONDS = 0.5
"""How long to wait before trying again to note a request id that the ledger would not take."""


class Claimed(msgspec.Struct, frozen=True):
    """A job that is ours to submit until the lease ends, and the claim that proves it."""

    task: Task
    job: Job
    claim: str


class Submitter:
    """Handles `submit` tasks. `lease_ms` bounds a claim; `give_up_after` (ms) the time a job may stay untaken."""

    def __init__(
        self,
        ledger: Ledger,
        accounts: Mapping[ProviderName, Account],
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

    async def handle(self, task: Task) -> None:
        """Submit the job of `task` if it is its turn, or apply the policy for an unconfirmed one."""
        now = self._clock()
        before = None if self._resubmit == "never" else now - self._resubmit
        until = now + self._lease_ms
        claimed = await self._claim(task.subject, until, before)
        job = claimed.job
        if job is not None and claimed.lost:
            message = "its worker went away between claiming it and noting an answer"
            self._emit("job.became_unconfirmed", job=job.id, provider=job.provider, code="claim_ended", message=message)
        if job is not None and claimed.claim is not None:
            if job.submissions > 1:
                self._emit("job.resubmitted", job=job.id, provider=job.provider, submissions=job.submissions)
            await self._submit(Claimed(task, job, claimed.claim))
        elif job is not None and job.state is JobState.UNCONFIRMED:
            await self._wait_or_expire(task, job, now)
        elif job is not None and job.state is JobState.SUBMITTING:
            await self._ledger.queue.reschedule(task, due_at=job.claimed_until or now, failed=False)
        else:
            await self._ledger.queue.finish(task)

    async def _claim(self, job_id: str, until: int, unconfirmed_before: int | None) -> ClaimResult:
        """Claim the job, and ask again under the claim's own name when nobody knows whether it was had.

        Otherwise a job that was never sent would become `unconfirmed` whenever the database changes its machine.
        """
        claim = new_identifier("claim", self._clock())
        while True:
            try:
                return await self._ledger.claim(job_id, claim=claim, until=until, unconfirmed_before=unconfirmed_before)
            except Unanswered:
                if self._clock() >= until:
                    raise
            await self._sleep(NOTE_AGAIN_SECONDS)

    async def _submit(self, claimed: Claimed) -> None:
        account = self._accounts.get(claimed.job.provider)
        if account is None:
            await self._settle(claimed, Refused(error=_no_account(claimed.job.provider)))
            return
        # An answer, once read, is noted even if this task is cancelled: noting runs to its end on its own.
        verdict = await self._ask(account, claimed.job)
        await run_shielded(self._settle(claimed, verdict))

    async def _ask(self, account: Account, job: Job) -> SubmitResult:
        try:
            answer = await self._send(account.submission(job))
        except NeverSent as error:
            return TryLater(error=_network("never_sent", f"{account.provider} was not reached: {error}"))
        except Unread as error:
            return Unclear(error=_network("answer_unread", f"no answer of {account.provider} was read: {error}"))
        if warning := account.warning(answer):
            self._emit("provider.warning_received", provider=account.provider, warning=warning)
        return account.read_submission(answer)

    async def _settle(self, claimed: Claimed, verdict: SubmitResult) -> None:
        match verdict:
            case Submitted():
                await self._confirm(claimed, verdict)
            case Refused(error=error):
                await self._refuse(claimed, error)
            case TryLater(error=error, retry_after=retry_after):
                await self._put_back(claimed, error, retry_after)
            case Unclear(error=error):
                await self._doubt(claimed, error)

    async def _confirm(self, claimed: Claimed, submitted: Submitted) -> None:
        job, now = claimed.job, self._clock()
        account = self._accounts[job.provider]
        poll_at = now + next_poll(account.poll_interval, 0, None, stretch=False)
        handle = ProviderRequest(**msgspec.structs.asdict(submitted))
        moved = await self._insist(claimed, handle, poll_at)
        fact = "job.submitted" if moved else await self._late(job, handle)
        self._emit(fact, job=job.id, provider=job.provider, request=handle.request_id)

    async def _insist(self, claimed: Claimed, handle: ProviderRequest, poll_at: int) -> bool:
        """Write what must not be lost: the id of a request that is paid for. Tries until the claim ends."""
        job = claimed.job
        while True:
            try:
                return await self._ledger.confirm(job.id, job.provider, handle, poll_at=poll_at)
            except LedgerError as error:
                self._emit(
                    "job.record_failed", job=job.id, provider=job.provider, request=handle.request_id, error=str(error)
                )
                if not isinstance(error, Unavailable) or self._clock() >= (job.claimed_until or 0):
                    raise
                await self._sleep(NOTE_AGAIN_SECONDS)

    async def _late(self, job: Job, handle: ProviderRequest) -> str:
        """Name what it means that an answer confirmed nothing."""
        now_known = await self._ledger.job(job.id)
        same = now_known is not None and now_known.provider_request_id == handle.request_id
        # The same: its callback was here first. Another: two requests, and both may be billed.
        return "job.already_confirmed" if same else "job.request_id_conflicted"

    async def _refuse(self, claimed: Claimed, error: JobError) -> None:
        if claimed.job.submissions > 1:  # the request before may be running all the same: its callback decides
            await self._doubt(claimed, error)
            return
        if await self._ledger.refuse(claimed.task, Outcome.failed(error), claim=claimed.claim):
            self._emit(
                "job.refused",
                job=claimed.job.id,
                provider=claimed.job.provider,
                fault=error.fault,
                code=error.code,
                message=error.message,
            )

    async def _put_back(self, claimed: Claimed, error: JobError, retry_after: float | None) -> None:
        now = self._clock()
        if now - max(claimed.job.created_at, claimed.job.unconfirmed_at or 0) >= self._give_up_after:
            await self._refuse(claimed, error)
            return
        due_at = now + next_submit(claimed.task.tries, retry_after)
        if await self._ledger.return_to_accepted(claimed.task, claim=claimed.claim, due_at=due_at):
            self._emit(
                "job.submit_rescheduled",
                job=claimed.job.id,
                provider=claimed.job.provider,
                tries=claimed.task.tries + 1,
                code=error.code,
                message=error.message,
            )

    async def _doubt(self, claimed: Claimed, error: JobError) -> None:
        job, now = claimed.job, self._clock()
        due_at = self._decide_at(job, unconfirmed_at=now)
        # Not moved: its callback was here first, and there is no doubt.
        if await self._ledger.mark_unconfirmed(claimed.task, claim=claimed.claim, due_at=due_at):
            self._emit(
                "job.became_unconfirmed", job=job.id, provider=job.provider, code=error.code, message=error.message
            )

    async def _wait_or_expire(self, task: Task, job: Job, now: int) -> None:
        decide_at = self._decide_at(job, unconfirmed_at=job.unconfirmed_at or now)
        if now < decide_at:
            await self._ledger.queue.reschedule(task, due_at=decide_at, failed=False)
            return
        error = JobError(
            fault=Fault.NETWORK,
            code="unconfirmed",
            message=f"{job.provider} may have taken this job and billed it, but its answer was never read and no "
            f"callback came; look at the provider's own dashboard before submitting it again",
        )
        if await self._ledger.expire(task, Outcome.expired(error), last_transition=job.last_transition):
            self._emit("job.expired", job=job.id, provider=job.provider, code=error.code, message=error.message)

    def _decide_at(self, job: Job, *, unconfirmed_at: int) -> int:
        """When an unconfirmed job is submitted again or given up: ms since the epoch."""
        if self._resubmit != "never" and job.submissions < MOST_SUBMISSIONS:
            return unconfirmed_at + self._resubmit
        account = self._accounts.get(job.provider)
        # Without a callback nobody can tell us of a job whose id we never read: waiting would be for nothing.
        return unconfirmed_at + (account.give_up_after if account and account.calls_back else 0)


def _no_account(provider: ProviderName) -> JobError:
    setting = {"fal": "FAL_KEY", "heygen": "HEYGEN_API_KEY"}[provider]
    return JobError(
        fault=Fault.US, code="no_account", message=f"{setting} is not set: {provider} cannot be asked", retryable=True
    )


def _network(code: str, message: str) -> JobError:
    return JobError(fault=Fault.NETWORK, code=code, message=message, retryable=True)
