"""How a job reads: the same fields everywhere, and times as RFC 3339 has them."""

from datetime import datetime

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.records import JobState, Outcome, Output
from ledger.rows import Event, Job
from receiver.views.job import rfc3339, view_event, view_job, view_job_at
from tests.conftest import NOON
from tests.ledger.conftest import BROKEN, Story

calm = settings(deadline=None)  # a busy machine is no fault


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
def test_a_time_is_rfc_3339_in_utc_with_milliseconds(at: int, text: str) -> None:
    assert rfc3339(at) == text


@calm
@given(st.integers(0, 4_102_444_800_000))
def test_no_millisecond_is_lost_by_writing_a_time(at: int) -> None:
    assert round(datetime.fromisoformat(rfc3339(at)).timestamp() * 1000) == at


async def ended(story: Story, outcome: Outcome) -> Job:
    job_id = await story.submit(input='{"b": 1, "a": [2.50]}', metadata='{"z":"\\u00e9"}')
    await story.report(job_id, outcome)
    return await story.job(job_id)


@pytest.fixture
def story(store) -> Story:
    return Story(store)


async def test_input_and_metadata_are_the_text_that_was_kept(story: Story) -> None:
    text = msgspec.json.encode(view_job(await ended(story, BROKEN)))
    assert b'"input":{"b": 1, "a": [2.50]},"metadata":{"z":"\\u00e9"}' in text


async def test_outputs_are_numbered_within_their_job(story: Story) -> None:
    outcome = Outcome.completed(
        tuple(Output(url=f"https://x.example/{name}.png") for name in "ab"), processing_time_ms=1500, warning="slow"
    )
    job = await ended(story, outcome)
    shown = msgspec.json.decode(msgspec.json.encode(view_job(job)))
    assert [output["id"] for output in shown["outputs"]] == [f"{job.id}.1", f"{job.id}.2"]
    assert (shown["processing_time_ms"], shown["warning"]) == (1500, "slow")


@pytest.mark.parametrize("outcome", [BROKEN, Outcome.completed((Output(url="https://x.example/a"),), warning="w")])
async def test_a_late_word_of_the_submission_does_not_tell_of_the_end(story: Story, outcome: Outcome) -> None:
    job = await ended(story, outcome)
    then = view_job_at(job, Event(job_id=job.id, sequence=2, type="job.submitted", at=NOON))
    assert then == view_job(job) | {
        "state": JobState.SUBMITTED,
        "finalized_at": None,
        "source": None,
        "outputs": [],
        "processing_time_ms": None,
        "warning": None,
        "error": None,
    }


async def test_a_word_of_the_end_tells_of_the_end(story: Story) -> None:
    job = await ended(story, BROKEN)
    assert view_job_at(job, Event(job_id=job.id, sequence=3, type="job.failed", at=NOON)) == view_job(job)


def test_an_event_has_its_number_name_and_time() -> None:
    assert view_event(Event(job_id="job_1", sequence=2, type="job.submitted", at=NOON)) == {
        "sequence": 2,
        "type": "job.submitted",
        "timestamp": "2026-01-01T00:00:00.000Z",
    }
