"""A state machine for hypothesis: a job under any order of callback, poll, cancel, lost lease and crash."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Sequence
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.records import EventType, Fault, JobError, Outcome, Output
from ledger.requests import NewJob, ProviderRequest, Report, Task
from ledger.storage.store import Store
from ledger.transitions import deliveries, endpoints, events, jobs, outcomes, submissions
from ledger.transitions import queue as work
from tests.conftest import NOON
from tests.ledger import queues

T = TypeVar("T")

LEASE = 60_000
ERROR = JobError(fault=Fault.PROVIDER, code="x", message="x")
OUTCOMES = {
    "one": Outcome.completed((Output(url="https://v3b.fal.media/1.mp4"),)),
    "two": Outcome.completed((Output(url="https://v3b.fal.media/2.mp4"),)),
    "broken": Outcome.failed(ERROR),
    None: None,
}
OPEN = {"accepted", "submitting", "unconfirmed", "submitted"}


class JobModel(RuleBasedStateMachine):
    """The attributes are the model. After every step the ledger is compared with them.

    The subclass of each database opens it and simulates a crash.
    """

    ends_claims = False
    """Whether opening the ledger ends every claim, as on SQLite."""

    @abstractmethod
    async def open(self) -> Store:
        """Create and open an empty ledger."""

    @abstractmethod
    async def crash(self) -> Store:
        """Open the ledger again as after a crash of the process."""

    async def fetch(self) -> Sequence[Task]:
        """Lease the due `submit` tasks."""
        return await self.store.write(work.fetch("submit", now=self.now, until=self.now + LEASE, limit=100))

    async def kinds_of_work(self) -> set[str]:
        """Return the kinds of work that are queued for the job."""
        rows = await queues.ask(self.store, "SELECT kind FROM work WHERE subject = %s", self.job_id)
        return {row["kind"] for row in rows}

    @initialize()
    def begin(self) -> None:
        self.runner = asyncio.Runner()
        self.now = NOON
        self.store = self.do(self.open())
        self.do(self.store.write(endpoints.put_settings_endpoint("https://u.example/", now=self.now)))
        self.job_id = self.write(jobs.accept(NewJob(provider="fal", model="a/b", input="{}"), now=self.now)).job_id
        self.state = "accepted"
        self.request: str | None = None
        self.submissions = 0
        self.task: Task | None = None
        self.claim: str | None = None
        self.stale: list[tuple[Task, str]] = []
        self.claimed_until = 0
        self.fingerprint: str | None = None
        self.events = ["job.accepted"]
        self.receipts: list[str] = []

    def do(self, what: Awaitable[T]) -> T:
        async def run() -> T:
            return await what

        return self.runner.run(run())

    def write(self, transaction: Any) -> Any:
        return self.do(self.store.write(transaction))

    def move(self, state: str, event: str | None) -> None:
        self.state = state
        if self.claim is not None and self.task is not None:
            self.stale.append((self.task, self.claim))
        self.claim = None
        if event:
            self.events.append(event)

    @rule(resubmit=st.booleans())
    def a_worker_fetches_and_claims(self, resubmit: bool) -> None:
        tasks = self.do(self.fetch())
        if not tasks:
            return
        [task] = tasks
        if self.state == "submitting" and self.claimed_until <= self.now:
            self.move("unconfirmed", "job.unconfirmed")
        self.task = task
        claimed = self.write(
            submissions.claim(
                self.job_id,
                now=self.now,
                until=self.now + LEASE,
                unconfirmed_before=self.now if resubmit else None,
            )
        )
        allowed = self.state == "accepted" or (self.state == "unconfirmed" and resubmit and self.submissions < 2)
        assert (claimed.claim is not None) is allowed
        if allowed:
            self.state, self.claim, self.claimed_until = "submitting", claimed.claim, self.now + LEASE
            self.submissions += 1

    @precondition(lambda self: self.claim is not None)
    @rule(unconfirmed=st.booleans())
    def the_provider_did_not_take_the_job_or_may_have_it(self, unconfirmed: bool) -> None:
        assert self.task is not None
        assert self.claim is not None
        values = {"claim": self.claim, "now": self.now, "due_at": self.now + 5_000}
        if unconfirmed:
            assert self.write(submissions.mark_unconfirmed(self.task, error=ERROR, **values))  # type: ignore[arg-type]
        else:
            assert self.write(submissions.return_to_accepted(self.task, error=ERROR, **values))  # type: ignore[arg-type]
        if unconfirmed:
            self.move("unconfirmed", "job.unconfirmed")
        else:
            first = self.submissions == 1  # the request before a second one may still be running
            self.submissions -= 1
            self.move("accepted" if first else "unconfirmed", None)

    @precondition(lambda self: self.claim is not None)
    @rule()
    def the_provider_refuses(self) -> None:
        assert self.task is not None
        assert self.claim is not None
        assert self.write(outcomes.refuse(self.task, Outcome.failed(ERROR), claim=self.claim, now=self.now))
        self.submissions -= 1
        self.fingerprint = Outcome.failed(ERROR).fingerprint
        self.move("failed", "job.failed")

    @precondition(lambda self: self.stale)
    @rule(how=st.sampled_from(["return", "mark_unconfirmed", "refuse"]))
    def a_stale_worker_writes(self, how: str) -> None:
        task, claim = self.stale[-1]
        transactions = {
            "return": submissions.return_to_accepted(task, claim=claim, error=ERROR, now=self.now, due_at=self.now),
            "mark_unconfirmed": submissions.mark_unconfirmed(
                task, claim=claim, error=ERROR, now=self.now, due_at=self.now
            ),
            "refuse": outcomes.refuse(task, Outcome.failed(ERROR), claim=claim, now=self.now),
        }
        assert self.write(transactions[how]) is False

    @rule(request=st.sampled_from(["r1", "r2"]))
    def the_submit_response_is_read(self, request: str) -> None:
        handle = ProviderRequest(request_id=request)
        transaction = submissions.confirm(self.job_id, "fal", handle, now=self.now, poll_at=self.now + 60_000)
        allowed = self.state in {"accepted", "submitting", "unconfirmed"}
        assert self.write(transaction) is allowed
        if allowed:
            self.request = request
            self.move("submitted", "job.submitted")

    @rule(
        request=st.sampled_from(["r1", "r2"]),
        name=st.sampled_from(list(OUTCOMES)),
        source=st.sampled_from(["callback", "poll"]),
        ours=st.booleans(),
    )
    def a_report_is_recorded(self, request: str, name: str | None, source: str, ours: bool) -> None:
        outcome = OUTCOMES[name]
        expected = self.expected_result(request, outcome, ours)
        report = Report(
            job_id=self.job_id,
            provider="fal",
            source=source,  # type: ignore[arg-type]  # sampled text
            request_id=request,
            outcome=outcome,
            headers="{}",
            body=b"{}",
            ours=ours,
        )
        assert self.write(outcomes.record(report, now=self.now)) == expected
        self.receipts.append(expected)
        if expected == "recorded" and outcome is not None:
            self.request, self.fingerprint = request, outcome.fingerprint
            self.move(outcome.state.value, f"job.{outcome.state.value}")
        elif expected == "pending" and self.state != "submitted" and ours:
            self.request = request
            self.move("submitted", "job.submitted")

    def expected_result(self, request: str, outcome: Outcome | None, ours: bool) -> str:
        if self.request not in {None, request} and self.submissions < 2:
            return "conflict"
        if self.state in OPEN:
            return "recorded" if outcome and (ours or self.request == request) else "pending"
        same = outcome is None or outcome.fingerprint == self.fingerprint
        return "duplicate" if same else "conflict"

    @rule()
    def the_user_cancels(self) -> None:
        assert self.write(outcomes.cancel(self.job_id, now=self.now)) is (self.state == "accepted")
        if self.state == "accepted":
            self.fingerprint = Outcome.canceled().fingerprint
            self.move("canceled", "job.canceled")

    @precondition(lambda self: self.task is not None and self.state in {"unconfirmed", "submitted"})
    @rule()
    def the_job_expires(self) -> None:
        job = self.do(jobs.read_job(self.store, self.job_id))
        assert job is not None
        assert self.task is not None
        assert self.write(
            outcomes.expire(self.task, Outcome.expired(ERROR), last_transition=job.last_transition, now=self.now)
        )
        self.fingerprint = Outcome.expired(ERROR).fingerprint
        self.move("expired", "job.expired")

    @rule(seconds=st.sampled_from([1, 5, 61, 3600]))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds * 1000

    @rule()
    def the_process_crashes_and_starts_again(self) -> None:
        self.store = self.do(self.crash())
        if self.ends_claims:
            self.claimed_until = min(self.claimed_until, self.now)

    @invariant()
    def the_ledger_matches_the_model(self) -> None:
        job = self.do(jobs.read_job(self.store, self.job_id))
        assert job is not None
        assert (job.state, job.provider_request_id, job.submissions) == (self.state, self.request, self.submissions)
        assert [event.type for event in self.do(events.list_events(self.store, self.job_id))] == self.events
        assert [receipt.result for receipt in self.do(jobs.list_receipts(self.store, self.job_id))] == self.receipts
        public = [event for event in self.events if EventType(event).public]
        assert len(self.do(deliveries.list_deliveries_of_subject(self.store, self.job_id))) == len(public)

    @invariant()
    def an_open_job_always_has_a_task(self) -> None:
        kinds = self.do(self.kinds_of_work())
        if self.state in {"accepted", "submitting", "unconfirmed"}:
            assert "submit" in kinds
        elif self.state == "submitted":
            assert "poll" in kinds
        else:
            assert not kinds

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.do(self.store.close())
            self.runner.close()
