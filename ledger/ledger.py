"""The interface of the ledger: every write and every read.

Each write is one transaction. It is committed and fsynced when the call returns; if the call raises `LedgerError`,
nothing was written, except after `Unanswered`, when that is unknown. Times are milliseconds since the epoch, UTC.
"""

from collections.abc import Mapping

import msgspec

from ledger.clock import Clock, wall_clock
from ledger.errors import LedgerError
from ledger.identifiers import new_identifier
from ledger.queue import WorkQueue
from ledger.records import JobError, JobState, Outcome, RecordResult
from ledger.redacted import redacted_attempt, redacted_error, redacted_outcome, redacted_report
from ledger.requests import (
    AFTER_ALL_IDENTIFIERS,
    Accepted,
    Attempted,
    ClaimResult,
    DeliveryFilter,
    DeliveryPage,
    Ending,
    NewJob,
    ProviderRequest,
    Report,
    Task,
)
from ledger.rows import Attempt, Delivery, DueDelivery, EndpointRow, Event, Job, Receipt
from ledger.storage.store import Store
from ledger.transitions import deliveries, delivery_lists, endpoints, events, health, jobs, outcomes, submissions
from ledger.transitions.queue import PAGE
from settings.redaction import Redactor

NO_SECRETS = Redactor()


class Ledger:
    """Jobs, submissions, outcomes and deliveries in the database of `store`. Open one with `open_ledger`.

    Errors, warnings and responses of others are redacted before they are written.
    """

    def __init__(self, store: Store, clock: Clock = wall_clock, redact: Redactor = NO_SECRETS) -> None:
        self.store = store
        self._clock = clock
        self._redact = redact
        self.queue = WorkQueue(store, clock)

    async def close(self) -> None:
        """Commit what is waiting, then close the database."""
        await self.store.close()

    def fault(self) -> LedgerError | None:
        """Return why nothing can be recorded until an operator acts, or None: its file was deleted or replaced."""
        return self.store.fault()

    # --- jobs -------------------------------------------------------------------------------------------------------

    async def accept(self, job: NewJob) -> Accepted:
        """Make a job durable in state `accepted` and enqueue its submission."""
        return await self.store.write(jobs.accept(job, now=self._clock()))

    async def job(self, job_id: str) -> Job | None:
        """Read one job with its outputs, or None."""
        return await jobs.read_job(self.store, job_id)

    async def input(self, job_id: str) -> str | None:
        """Read the whole input of a job as JSON text, or None."""
        return await jobs.read_input(self.store, job_id)

    async def jobs(
        self,
        *,
        limit: int,
        before: str = AFTER_ALL_IDENTIFIERS,
        provider: str | None = None,
        state: JobState | None = None,
    ) -> list[Job]:
        """Read at most `limit` jobs, newest first, with identifiers before `before`."""
        return await jobs.list_jobs(self.store, limit=limit, before=before, provider=provider, state=state)

    async def events(self, job_id: str, *, after: int = 0) -> list[Event]:
        """Read the events of a job with sequence numbers above `after`, in order."""
        return list(await events.list_events(self.store, job_id, after=after))

    async def receipts(self, job_id: str) -> list[Receipt]:
        """Read every receipt that names the job, oldest first."""
        return await jobs.list_receipts(self.store, job_id)

    async def named_requests(self, job_id: str, *, limit: int) -> list[str]:
        """Read at most `limit` request ids that pending callbacks of a job named, oldest first."""
        return await jobs.list_named_requests(self.store, job_id, limit=limit)

    # --- submissions ------------------------------------------------------------------------------------------------

    async def claim(self, job_id: str, *, claim: str, until: int, unconfirmed_before: int | None = None) -> ClaimResult:
        """Claim a job for submission until `until` (ms), under the id `claim`.

        A call whose commit was not confirmed is repeated with the same id. If an earlier claim has ended, the job
        becomes `unconfirmed` first. An unconfirmed job is claimed only if it became so before `unconfirmed_before`
        (ms); None never claims it.
        """
        return await self.store.write(
            submissions.claim(
                job_id, claim=claim, now=self._clock(), until=until, unconfirmed_before=unconfirmed_before
            )
        )

    async def confirm(self, job_id: str, provider: str, request: ProviderRequest, *, poll_at: int) -> bool:
        """Record that the provider has the job, and poll it first at `poll_at` (ms). True if it became `submitted`."""
        return await self.store.write(
            submissions.confirm(job_id, provider, request, now=self._clock(), poll_at=poll_at)
        )

    async def return_to_accepted(
        self, task: Task, *, claim: str, error: JobError | None, server_error: bool = False, due_at: int
    ) -> bool:
        """Return a claimed job to `accepted` because of `error`, to be submitted again at `due_at` (ms).

        `server_error` counts a response after which the provider may have taken the job all the same.
        """
        error = error and redacted_error(error, self._redact)
        return await self.store.write(
            submissions.return_to_accepted(
                task, claim=claim, error=error, server_error=server_error, now=self._clock(), due_at=due_at
            )
        )

    async def hold(self, task: Task, *, error: JobError, due_at: int) -> None:
        """Leave an accepted job waiting until `due_at` (ms), with the reason as its error."""
        await self.store.write(submissions.hold(task, error=redacted_error(error, self._redact), due_at=due_at))

    async def mark_unconfirmed(self, task: Task, *, claim: str, error: JobError, due_at: int) -> bool:
        """Make a claimed job `unconfirmed` because of `error`, and apply the policy at `due_at` (ms)."""
        error = redacted_error(error, self._redact)
        return await self.store.write(
            submissions.mark_unconfirmed(task, claim=claim, error=error, now=self._clock(), due_at=due_at)
        )

    async def mark_restored(self) -> int:
        """Make every job that is `accepted` or `submitting` `unconfirmed`, and return how many they were.

        For a database restored from a backup, before anything is submitted: each may have been submitted since.
        """
        number = 0
        while marked := await self.store.write(submissions.mark_restored(now=self._clock(), limit=PAGE)):
            number += marked
        return number

    # --- outcomes ---------------------------------------------------------------------------------------------------

    async def record(self, report: Report) -> RecordResult:
        """Record a provider's report of a job, from a callback or a poll. The first outcome is kept."""
        now, report = self._clock(), redacted_report(report, self._redact)
        if report.ours:
            return await self.store.write(outcomes.record(report, now=now))
        report = msgspec.structs.replace(report, receipt=new_identifier("rcpt", now))
        result = await self.store.write(outcomes.record(report, now=now))
        if result is RecordResult.PENDING and report.outcome is not None:
            # Not in the transaction above, of which most reports would make no use. If this one fails, the callback is
            # not answered 200, and the provider sends it again.
            await self.store.write(outcomes.poll_now(report, now=now))
        return result

    async def refuse(self, task: Task, outcome: Outcome, *, claim: str) -> bool:
        """End a job that the provider refused, if `claim` still holds. Returns whether it ended."""
        outcome = redacted_outcome(outcome, self._redact)
        return await self.store.write(outcomes.refuse(task, outcome, claim=claim, now=self._clock()))

    async def expire(self, task: Task, outcome: Outcome, *, last_transition: str) -> bool:
        """End a job without an outcome in time, if it has not changed since it was read. Returns whether it ended."""
        outcome = redacted_outcome(outcome, self._redact)
        return await self.store.write(
            outcomes.expire(task, outcome, last_transition=last_transition, now=self._clock())
        )

    # --- providers and endpoints --------------------------------------------------------------------------------------

    async def put_settings_endpoint(self, url: str | None) -> None:
        """Set the URL of the endpoint of NOTIFY_URL. None pauses it, so that its deliveries wait."""
        await self.store.write(endpoints.put_settings_endpoint(url, now=self._clock()))

    async def remove_settings_endpoint(self) -> int:
        """Remove the endpoint of NOTIFY_URL, discard its pending deliveries, and return how many."""
        return await self.store.write(endpoints.remove_settings_endpoint(now=self._clock()))

    async def put_signing(self, *, possible: bool) -> None:
        """Pause the endpoints without secrets of their own unless signing is `possible`; resume them if it is."""
        await self.store.write(endpoints.put_signing(possible=possible, now=self._clock()))

    async def pause_endpoint(self, endpoint_id: str, reason: str) -> None:
        """Pause an endpoint, so that its deliveries wait."""
        await self.store.write(endpoints.pause(endpoint_id, reason, now=self._clock()))

    async def endpoint(self, endpoint_id: str) -> EndpointRow | None:
        """Read one endpoint, or None."""
        return await endpoints.read_endpoint(self.store, endpoint_id)

    async def count_paused_deliveries(self) -> Mapping[str, int]:
        """Count the deliveries that wait for paused endpoints, by the reason of the pause."""
        return await endpoints.count_paused_deliveries(self.store)

    # --- deliveries -------------------------------------------------------------------------------------------------

    async def due_deliveries(self, endpoint_id: str, *, limit: int) -> list[DueDelivery]:
        """Read at most `limit` deliveries of an endpoint that are due, longest due first."""
        return await deliveries.read_due(self.store, endpoint_id, now=self._clock(), limit=limit)

    async def begin_attempt(self, delivery_id: str, *, due_at: int) -> None:
        """Count an attempt before it is made: if it ends the process, the next one is due at `due_at` (ms).

        How it ended is then recorded with `counted=True`.
        """
        await self.store.write(deliveries.begin(delivery_id, at=self._clock(), due_at=due_at))

    async def withdraw_attempt(self, delivery_id: str) -> None:
        """Forget the attempt that was counted: it was not made, and the delivery is due."""
        await self.store.write(deliveries.withdraw(delivery_id, due_at=self._clock()))

    async def finish_delivery(
        self,
        delivery_id: str,
        attempted: Attempted | None,
        ending: Ending,
        *,
        reason: str | None = None,
        counted: bool = False,
    ) -> None:
        """End a delivery, and record the attempt that ended it if there was one."""
        attempted, reason = redacted_attempt(attempted, self._redact), reason and self._redact(reason)
        await self.store.write(
            deliveries.finish(delivery_id, attempted, ending, now=self._clock(), reason=reason, counted=counted)
        )

    async def disable_endpoint(
        self, delivery: DueDelivery, attempted: Attempted, *, reason: str, counted: bool = False
    ) -> None:
        """End a delivery as dead, disable its endpoint, and create the event `endpoint.disabled`."""
        attempted = redacted_attempt(attempted, self._redact)
        await self.store.write(
            deliveries.disable_endpoint(delivery, attempted, reason=reason, now=self._clock(), counted=counted)
        )

    async def retry_delivery(
        self, delivery_id: str, attempted: Attempted, *, due_at: int, counted: bool = False
    ) -> None:
        """Record a failed attempt; the next one is due at `due_at` (ms)."""
        attempted = redacted_attempt(attempted, self._redact)
        await self.store.write(deliveries.retry(delivery_id, attempted, due_at=due_at, counted=counted))

    async def replay_delivery(self, delivery: Delivery) -> bool:
        """Make a delivery pending and due now under its id, with a fresh schedule, whatever its state.

        False when it is no longer in the state that was read, or when its endpoint was removed.
        """
        return bool(await self.store.write(deliveries.replay([delivery], now=self._clock())))

    async def replay_deliveries(self, wanted: DeliveryFilter) -> int:
        """Replay every delivery that matches a filter, some at a time. Returns how many."""
        return await delivery_lists.replay_deliveries(self.store, wanted, now=self._clock())

    async def delivery(self, delivery_id: str) -> Delivery | None:
        """Read one delivery, or None."""
        return await deliveries.read_delivery(self.store, delivery_id)

    async def deliveries(
        self, wanted: DeliveryFilter, *, limit: int, before: str = AFTER_ALL_IDENTIFIERS
    ) -> DeliveryPage:
        """Read a page of deliveries that match a filter, newest first, with identifiers before `before`."""
        return await delivery_lists.list_deliveries(self.store, wanted, limit=limit, before=before)

    async def attempts(self, delivery_id: str) -> list[Attempt]:
        """Read the attempts of a delivery, first to last."""
        return await deliveries.list_attempts(self.store, delivery_id)

    # --- health -----------------------------------------------------------------------------------------------------

    async def prove_writable(self) -> None:
        """Commit a transaction that writes to the disk and changes no row."""
        await self.store.write(health.prove_writable())

    async def count_needing_attention(self) -> dict[str, int]:
        """Count dead, discarded and paused deliveries, conflict and orphan receipts, and held jobs."""
        return await deliveries.count_needing_attention(self.store)
