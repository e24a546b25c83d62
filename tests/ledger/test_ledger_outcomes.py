"""One outcome per job: the first report is recorded, and each later one has a named result."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ledger.records import JobState, Outcome, Output, RecordResult
from ledger.transitions import deliveries, endpoints, jobs, outcomes, submissions
from tests.ledger.conftest import BROKEN, DONE, Scenario, ms

Count = Callable[[str], Awaitable[int]]


async def test_the_first_report_becomes_the_outcome_with_its_outputs_event_and_receipt(scenario: Scenario) -> None:
    job_id = await scenario.submit()
    assert await scenario.report(job_id) is RecordResult.RECORDED
    job = await scenario.job(job_id)
    assert (job.state, job.source, job.finalized_at) == (JobState.COMPLETED, "callback", ms(30))
    assert job.outputs == DONE.outputs
    assert await scenario.events(job_id) == ["job.accepted", "job.submitted", "job.completed"]
    [receipt] = await jobs.list_receipts(scenario.store, job_id)
    assert (receipt.result, receipt.body, receipt.request_id) == ("recorded", b'{"raw": true}', "req-1")


async def test_the_same_report_again_is_a_duplicate_and_changes_nothing(scenario: Scenario, count: Count) -> None:
    job_id = await scenario.submit()
    await scenario.report(job_id)
    before = await scenario.job(job_id)
    assert await scenario.report(job_id, source="poll", at=40) is RecordResult.DUPLICATE
    assert await scenario.job(job_id) == before
    assert (await count("events"), await count("outputs"), await count("receipts")) == (3, 1, 2)


async def test_outputs_whose_urls_are_signed_again_are_the_same_outcome(scenario: Scenario) -> None:
    job_id = await scenario.submit()
    one, two = (Outcome.completed((Output(url=f"https://files.heygen.ai/o.mp4?sig={n}"),)) for n in "ab")
    assert await scenario.report(job_id, one) is RecordResult.RECORDED
    assert await scenario.report(job_id, two) is RecordResult.DUPLICATE


async def test_another_outcome_is_a_conflict_and_the_first_stands(scenario: Scenario) -> None:
    job_id = await scenario.submit()
    await scenario.report(job_id, DONE)
    assert await scenario.report(job_id, BROKEN) is RecordResult.CONFLICT
    assert (await scenario.job(job_id)).state is JobState.COMPLETED
    assert [receipt.result for receipt in await jobs.list_receipts(scenario.store, job_id)] == ["recorded", "conflict"]
    assert list(await scenario.store.read("count_receipts_needing_attention", {})) == [
        {"result": "conflict", "number": 1}
    ]


async def test_a_report_of_an_unknown_job_is_kept_as_an_orphan(scenario: Scenario) -> None:
    assert await scenario.report("job_nowhere") is RecordResult.ORPHAN
    [receipt] = await jobs.list_receipts(scenario.store, "job_nowhere")
    assert receipt.result == "orphan"


async def test_a_callback_before_the_submit_response_ends_the_job_and_sets_the_request_id(
    scenario: Scenario, count: Count
) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await scenario.accept()
    await scenario.fetch("submit", at=1)
    claim = await scenario.begin(job_id)
    assert await scenario.report(job_id, request_id="req-9") is RecordResult.RECORDED
    job = await scenario.job(job_id)
    assert (job.state, job.provider_request_id, job.submitted_at) == (JobState.COMPLETED, "req-9", ms(30))
    assert job.last_transition != claim
    assert await scenario.confirm(job_id, "req-9") is False  # the response comes after the end
    assert await scenario.job(job_id) == job
    assert await count("deliveries") == 1
    assert await scenario.fetch("submit", at=1000) == []


async def test_a_report_of_a_known_request_does_not_change_submitted_at(scenario: Scenario) -> None:
    job_id = await scenario.submit(at=1)
    assert await scenario.report(job_id, at=30) is RecordResult.RECORDED
    job = await scenario.job(job_id)
    assert (job.provider_request_id, job.submitted_at, job.finalized_at) == ("req-1", ms(1), ms(30))


@pytest.mark.parametrize(("late", "result"), [(DONE, RecordResult.DUPLICATE), (BROKEN, RecordResult.CONFLICT)])
async def test_a_job_keeps_the_request_that_ended_it_when_its_other_request_ends_too(
    scenario: Scenario, late: Outcome, result: RecordResult
) -> None:
    job_id = await scenario.accept()
    for at in (1, 100):
        claimed = submissions.claim(job_id, now=ms(at), until=ms(at + 60), unconfirmed_before=ms(at))
        assert (await scenario.store.write(claimed)).claim is not None
    assert await scenario.report(job_id, request_id="req-1", at=110) is RecordResult.RECORDED
    assert await scenario.report(job_id, late, request_id="req-2", at=120) is result
    job = await scenario.job(job_id)
    assert (job.state, job.provider_request_id, job.submitted_at) == (JobState.COMPLETED, "req-1", ms(110))


async def test_a_callback_ends_an_unconfirmed_job(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    await scenario.begin(job_id, at=1, until=61)
    [task] = await scenario.fetch("submit", at=70)
    assert task.subject == job_id
    claimed = await scenario.store.write(submissions.claim(job_id, now=ms(70), until=ms(130)))
    assert claimed.claim is None
    assert claimed.job is not None
    assert claimed.job.state is JobState.UNCONFIRMED
    assert await scenario.report(job_id, request_id="req-9", at=80) is RecordResult.RECORDED
    assert (await scenario.job(job_id)).provider_request_id == "req-9"


@pytest.mark.parametrize("outcome", [DONE, None])
async def test_a_report_under_an_unknown_request_id_is_kept_as_a_conflict(
    scenario: Scenario, count: Count, outcome: Outcome | None
) -> None:
    """The provider may have taken the job twice, and bill it twice: an operator must be able to see that."""
    job_id = await scenario.submit("req-1")
    assert await scenario.report(job_id, outcome, request_id="req-2") is RecordResult.CONFLICT
    job = await scenario.job(job_id)
    assert (job.state, job.provider_request_id) == (JobState.SUBMITTED, "req-1")
    [receipt] = await jobs.list_receipts(scenario.store, job_id)
    assert (receipt.result, receipt.request_id) == ("conflict", "req-2")
    assert await scenario.report(job_id, request_id="req-1") is RecordResult.RECORDED


async def test_a_job_with_a_thousand_outputs_is_read_with_one_copy_of_its_input(scenario: Scenario) -> None:
    outputs = tuple(Output(url=f"https://v3b.fal.media/{number}.png") for number in range(1_000))
    job_id = await scenario.submit(input='{"image": "' + "x" * 100_000 + '"}')
    await scenario.report(job_id, Outcome.completed(outputs))
    rows = await scenario.store.read("read_job", {"job_id": job_id})
    assert sum(len(row["input"] or "") for row in rows) == len((await scenario.job(job_id)).input)
    assert (await scenario.job(job_id)).outputs == outputs


async def test_the_request_of_another_job_never_ends_a_job_without_a_request_id(
    scenario: Scenario, count: Count
) -> None:
    await scenario.submit("req-1")
    other = await scenario.accept()
    await scenario.begin(other)
    assert await scenario.report(other, request_id="req-1") is RecordResult.FOREIGN
    assert await scenario.report(other, None, request_id="req-1") is RecordResult.FOREIGN
    assert (await scenario.job(other)).state is JobState.SUBMITTING
    assert await count("receipts") == 0


async def test_a_report_without_a_result_makes_a_poll_due_at_once(scenario: Scenario) -> None:
    job_id = await scenario.submit()
    assert await scenario.fetch("poll", at=31) == []
    assert await scenario.report(job_id, None, at=30) is RecordResult.PENDING
    assert (await scenario.job(job_id)).state is JobState.SUBMITTED
    assert [task.subject for task in await scenario.fetch("poll", at=31)] == [job_id]


async def test_a_report_without_a_result_before_the_submit_response_confirms_the_job(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    await scenario.begin(job_id)
    assert await scenario.report(job_id, None, request_id="req-5", at=30) is RecordResult.PENDING
    job = await scenario.job(job_id)
    assert (job.state, job.provider_request_id) == (JobState.SUBMITTED, "req-5")
    assert [task.subject for task in await scenario.fetch("poll", at=31)] == [job_id]


async def test_each_endpoint_gets_one_delivery_of_each_public_event(scenario: Scenario) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await scenario.submit(notify=("https://job.example/a", "https://job.example/b"))
    await scenario.report(job_id)
    await scenario.report(job_id)
    made = await deliveries.list_deliveries_of_subject(scenario.store, job_id)
    assert len({delivery.id for delivery in made}) == 6
    assert [delivery.sequence for delivery in made] == [2, 2, 2, 3, 3, 3]
    listening = {delivery.endpoint_id for delivery in made}
    assert {task.subject for task in await scenario.fetch("deliver", at=31)} == listening
    assert len(listening) == 3


async def test_an_ended_job_has_no_tasks(scenario: Scenario) -> None:
    job_id = await scenario.accept()
    await scenario.fetch("submit", at=1)
    await scenario.begin(job_id)
    await scenario.confirm(job_id)
    await scenario.report(job_id)
    assert await scenario.fetch("poll", at=10_000) == []
    assert await scenario.fetch("submit", at=10_000) == []


async def test_callback_and_poll_racing_200_times_record_one_outcome(scenario: Scenario, count: Count) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_ids = [await scenario.submit(f"req-{n}") for n in range(200)]
    reports = [
        scenario.report(job_id, request_id=f"req-{n}", source=source)
        for n, job_id in enumerate(job_ids)
        for source in (("callback", "poll") if n % 2 else ("poll", "callback"))
    ]
    results = await asyncio.gather(*reports)
    assert (results.count(RecordResult.RECORDED), results.count(RecordResult.DUPLICATE)) == (200, 200)
    assert await count("deliveries") == 400  # job.submitted and job.completed, once each
    assert await count("outputs") == 200


@pytest.mark.parametrize("state", ["accepted", "submitting", "submitted", "completed"])
async def test_only_an_accepted_job_is_canceled(scenario: Scenario, state: str) -> None:
    job_id = await scenario.submit() if state in {"submitted", "completed"} else await scenario.accept()
    if state == "submitting":
        await scenario.begin(job_id)
    if state == "completed":
        await scenario.report(job_id)
    assert await scenario.store.write(outcomes.cancel(job_id, now=ms(50))) is (state == "accepted")
    expected = "canceled" if state == "accepted" else state
    assert (await scenario.job(job_id)).state.value == expected
