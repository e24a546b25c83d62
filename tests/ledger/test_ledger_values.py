"""Every transaction has the values that its statements name."""

import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any, get_args

import pytest

from ledger.records import Fault, JobError, Outcome, Output
from ledger.requests import Attempted, NewJob, ProviderRequest, Report, Task
from ledger.rows import Delivery, DueDelivery, Endpoint, Event
from ledger.storage.statements import Dialect, statements
from ledger.storage.transaction import Transaction
from ledger.transitions import deliveries, endpoints, health, jobs, outcomes, providers, queue, submissions
from tests.conftest import NOON

MODULES = (deliveries, endpoints, health, jobs, outcomes, providers, queue, submissions)
TASK = Task(kind="submit", subject="job_1", lease="lease_1", tries=0)
ERROR = JobError(fault=Fault.NETWORK, code="x", message="x")
FAILED = Outcome.failed(ERROR)
DONE = Outcome.completed((Output(url="https://v3b.fal.media/a.mp4"),))
TRIED = Attempted(at=1, latency_ms=1, status=410, error=None, response=None)
ENDPOINT = Endpoint(
    id="ep_1",
    url="https://u.example/",
    secrets=None,
    schedule=None,
    max_concurrency=None,
    rate_per_second=None,
    timeout_ms=None,
    disabled_reason=None,
    removed_at=None,
)
DELIVERY = Delivery(
    id="msg_1",
    subject="job_1",
    sequence=1,
    endpoint_id="ep_1",
    state="dead",
    attempts=1,
    created_at=1,
    due_at=None,
    finalized_at=1,
    reason="why",
)
DUE = DueDelivery(
    delivery_id="msg_1",
    attempts=0,
    failures=0,
    endpoint=ENDPOINT,
    event=Event(subject="job_1", sequence=1, type="job.completed", at=1),
    subject_kind="job",
    job=None,
)


def report(outcome: Outcome | None) -> Report:
    return Report(
        job_id="job_1", provider="fal", source="poll", request_id="r", outcome=outcome, headers="{}", body=b""
    )


MADE: dict[str, list[Transaction[Any]]] = {
    "deliveries.finish": [deliveries.finish("msg_1", attempted, "dead", now=1) for attempted in (TRIED, None)],
    "deliveries.disable_endpoint": [deliveries.disable_endpoint(DUE, TRIED, reason="gone", now=1)],
    "deliveries.begin": [deliveries.begin("msg_1", at=1, due_at=1)],
    "deliveries.withdraw": [deliveries.withdraw("msg_1", due_at=1)],
    "deliveries.retry": [deliveries.retry("msg_1", TRIED, due_at=1)],
    "deliveries.release": [deliveries.release(TASK, now=1)],
    "deliveries.replay": [deliveries.replay([DELIVERY], now=1)],
    "endpoints.put_settings_endpoint": [endpoints.put_settings_endpoint(url, now=1) for url in ("https://u/", None)],
    "endpoints.remove_settings_endpoint": [endpoints.remove_settings_endpoint(now=1)],
    "endpoints.put_signing": [endpoints.put_signing(possible=possible, now=1) for possible in (True, False)],
    "endpoints.pause": [endpoints.pause("ep_1", "why", now=1)],
    "health.prove_writable": [health.prove_writable()],
    "jobs.accept": [
        jobs.accept(NewJob(provider="fal", model="a/b", input="{}", notify=notify), now=NOON)
        for notify in ((), ("https://u.example/",))
    ],
    "outcomes.record": [outcomes.record(report(outcome), now=NOON) for outcome in (DONE, FAILED, None)],
    "outcomes.poll_now": [outcomes.poll_now(report(DONE), now=NOON)],
    "outcomes.refuse": [outcomes.refuse(TASK, FAILED, claim="claim_1", now=NOON)],
    "outcomes.expire": [outcomes.expire(TASK, Outcome.expired(ERROR), last_transition="tran_1", now=NOON)],
    "outcomes.cancel": [outcomes.cancel("job_1", now=NOON)],
    "providers.put_providers": [providers.put_providers(["fal"])],
    "queue.fetch": [queue.fetch("submit", now=1, until=2, limit=1)],
    "queue.renew": [queue.renew([TASK], until=2)],
    "queue.finish": [queue.finish(TASK)],
    "queue.reschedule": [queue.reschedule(TASK, due_at=1, failed=True)],
    "queue.give_back": [queue.give_back([TASK], due_at=1)],
    "queue.end_leases": [queue.end_leases(now=1)],
    "submissions.mark_restored": [submissions.mark_restored(now=1, limit=1)],
    "submissions.claim": [submissions.claim("job_1", now=1, until=2, unconfirmed_before=when) for when in (None, 1)],
    "submissions.confirm": [submissions.confirm("job_1", "fal", ProviderRequest(request_id="r"), now=1, poll_at=2)],
    "submissions.return_to_accepted": [
        submissions.return_to_accepted(TASK, claim="claim_1", error=ERROR, now=1, due_at=2)
    ],
    "submissions.hold": [submissions.hold(TASK, error=ERROR, due_at=1)],
    "submissions.mark_unconfirmed": [submissions.mark_unconfirmed(TASK, claim="claim_1", error=ERROR, now=1, due_at=2)],
}


def makers(module: ModuleType) -> Iterator[str]:
    """Yield the names of a module's public functions that return a transaction."""
    for name, function in inspect.getmembers(module, inspect.isfunction):
        made_here = function.__module__ == module.__name__ and not name.startswith("_")
        if made_here and str(inspect.signature(function).return_annotation).startswith(
            "ledger.storage.transaction.Transaction"
        ):
            yield f"{module.__name__.rpartition('.')[2]}.{name}"


def test_every_transaction_is_checked() -> None:
    assert {name for module in MODULES for name in makers(module)} == set(MADE)


ONLY_SQLITE = "queue.end_leases"


@pytest.mark.parametrize(
    ("name", "dialect"),
    [(name, dialect) for name in MADE for dialect in get_args(Dialect) if (name, dialect) != (ONLY_SQLITE, "postgres")],
)
def test_the_values_of_a_transaction_have_every_name_of_its_statements(name: str, dialect: Dialect) -> None:
    for transaction in MADE[name]:
        for step in transaction.steps:
            missing = set(statements(dialect)[step.statement].names) - transaction.values_of(step).keys()
            assert (step.statement, missing) == (step.statement, set())
