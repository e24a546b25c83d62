"""The Structs that the API and notifications show."""

from datetime import datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.records import JobState, Outcome, Output
from ledger.rows import Event, Job
from ledger.storage.store import Store
from receiver.views.history import view_event
from receiver.views.job import view_job, view_job_at
from receiver.views.notification import view_notification
from receiver.views.times import rfc3339
from tests.conftest import NOON
from tests.ledger.conftest import BROKEN, Scenario

unhurried = settings(deadline=None)  # a busy machine is not a failure


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (NOON, "2026-01-01T00:00:00.000Z"),
        (NOON + 1, "2026-01-01T00:00:00.001Z"),
        (NOON - 1, "2025-12-31T23:59:59.999Z"),
        (NOON + 59_990, "2026-01-01T00:00:59.990Z"),
    ],
)
def test_times_are_rfc_3339_utc_with_milliseconds(at: int, text: str) -> None:
    assert rfc3339(at) == text


@unhurried
@given(st.integers(0, 4_102_444_800_000))
def test_times_keep_every_millisecond(at: int) -> None:
    assert round(datetime.fromisoformat(rfc3339(at)).timestamp() * 1000) == at


async def ended(scenario: Scenario, outcome: Outcome) -> Job:
    job_id = await scenario.submit(input='{"b": 1, "a": [2.50]}', metadata='{"z":"\\u00e9"}')
    await scenario.report(job_id, outcome)
    return await scenario.job(job_id)


@pytest.fixture
def scenario(store: Store) -> Scenario:
    return Scenario(store)


async def test_input_and_metadata_are_shown_as_stored(scenario: Scenario) -> None:
    text = msgspec.json.encode(view_job(await ended(scenario, BROKEN)))
    assert b'"input":{"b": 1, "a": [2.50]},"metadata":{"z":"\\u00e9"}' in text


async def test_outputs_have_ids_numbered_within_the_job(scenario: Scenario) -> None:
    outcome = Outcome.completed(
        tuple(Output(url=f"https://x.example/{name}.png") for name in "ab"), processing_time_ms=1500, warning="slow"
    )
    job = await ended(scenario, outcome)
    shown = msgspec.json.decode(msgspec.json.encode(view_job(job)))
    assert [output["id"] for output in shown["outputs"]] == [f"{job.id}.1", f"{job.id}.2"]
    assert (shown["processing_time_ms"], shown["warning"]) == (1500, "slow")


ENDED = [BROKEN, Outcome.completed((Output(url="https://x.example/a"),), warning="w")]


def event(job: Job, name: str) -> Event:
    return Event(subject=job.id, sequence=2, type=name, at=NOON)


@pytest.mark.parametrize("outcome", ENDED)
@pytest.mark.parametrize(
    ("name", "state", "known"),
    [
        ("job.accepted", JobState.ACCEPTED, False),
        ("job.unconfirmed", JobState.UNCONFIRMED, False),
        ("job.submitted", JobState.SUBMITTED, True),
        ("job.progress", JobState.SUBMITTED, True),
    ],
)
async def test_an_earlier_event_shows_the_job_as_it_was_then(
    scenario: Scenario, outcome: Outcome, name: str, state: JobState, known: bool
) -> None:
    job = await ended(scenario, outcome)
    now, then = view_job(job), view_job_at(job, event(job, name))
    assert then == msgspec.structs.replace(
        now,
        state=state,
        provider_request_id=now.provider_request_id if known else None,
        submitted_at=now.submitted_at if known else None,
        finalized_at=None,
        source=None,
        outputs=(),
        processing_time_ms=None,
        warning=None,
        error=None,
    )
    assert now.provider_request_id
    assert now.submitted_at


@pytest.mark.parametrize("outcome", ENDED)
async def test_a_final_event_shows_the_outcome(scenario: Scenario, outcome: Outcome) -> None:
    job = await ended(scenario, outcome)
    assert view_job_at(job, event(job, f"job.{outcome.state}")) == view_job(job)


async def test_a_notification_shows_type_timestamp_sequence_and_job(scenario: Scenario) -> None:
    job = await ended(scenario, BROKEN)
    body = msgspec.json.encode(view_notification(event(job, "job.failed"), "job", job))
    head = b'{"type":"job.failed","timestamp":"2026-01-01T00:00:00.000Z","data":{"sequence":2,"job":'
    assert body == head + msgspec.json.encode(view_job(job)) + b"}}"


def test_an_event_shows_sequence_type_and_timestamp() -> None:
    view = view_event(Event(subject="job_1", sequence=2, type="job.submitted", at=NOON))
    assert msgspec.json.encode(view) == b'{"sequence":2,"type":"job.submitted","timestamp":"2026-01-01T00:00:00.000Z"}'
