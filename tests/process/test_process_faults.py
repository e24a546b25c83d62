"""Every fault of the sandbox, asked for through real processes: how the job ends, what is kept, what is said."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.process.children import python, until
from tests.process.errands import Errand
from tests.process.house import House, Neighbours

# The first look comes about a second after the submit; the jobs take 0.3 s.
RECONCILE = {"FAL_RECONCILE_SECONDS": "1"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault and the wanted result. `receipts` counts by source and result, `said` are events with their fields."""

    errand: Errand
    state: str = "completed"
    source: str | None = "callback"
    receipts: dict[str, int]
    submissions: int = 1
    said: tuple[tuple[str, dict[str, object]], ...] = ()
    events: tuple[str, ...] = ("accepted", "submitted", "completed")
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.errand.provider}-{self.errand.faults or 'none'}"


def fal(faults: str, **expected: object) -> Case:
    return Case(errand=Errand(faults=faults), **expected)  # type: ignore[arg-type]  # tests name the fields


def heygen(faults: str, **expected: object) -> Case:
    return Case(errand=Errand(provider="heygen", faults=faults), **{"source": "poll"} | expected)  # type: ignore[arg-type]  # tests name the fields


def refused(reason: str) -> tuple[str, dict[str, object]]:
    return "callback.refused", {"reason": reason}


CALLED, POLLED = {"callback recorded": 1}, {"poll recorded": 1}
FAILED = ("accepted", "submitted", "failed")
UNHEARD = ("accepted", "completed")  # the callback came before the answer to the submit

CASES = [
    fal("", receipts=CALLED),
    fal("failed", receipts=CALLED, state="failed", events=FAILED, error="face_detection_error"),
    fal("duplicate", receipts=CALLED | {"callback duplicate": 1}),
    fal("conflict", receipts=CALLED | {"callback conflict": 1}, said=(("callback.recorded", {"result": "conflict"}),)),
    fal("early", receipts=CALLED, events=UNHEARD, said=(("job.already_confirmed", {}),)),
    fal("slow=0.6", receipts=CALLED, events=UNHEARD, said=(("job.already_confirmed", {}),)),
    fal("null-payload", receipts=POLLED | {"callback pending": 1}, source="poll"),
    fal("429=1", receipts=CALLED, said=(("job.submit_rescheduled", {"tries": 1}),)),
    fal("5xx=1", receipts=CALLED, said=(("job.submit_rescheduled", {"tries": 1}),)),
    fal("refused", receipts={}, state="failed", source=None, submissions=0, events=("accepted", "failed"),
        said=(("job.refused", {"fault": "input"}),)),
    fal("silent", receipts=CALLED, events=("accepted", "unconfirmed", "completed"),
        said=(("job.became_unconfirmed", {"code": "answer_unread"}),)),
    fal("lost", receipts=POLLED, source="poll"),
    fal("late=1.6", receipts=POLLED | {"callback duplicate": 1}, source="poll"),
    fal("reordered=0.5", receipts=CALLED),
    fal("tampered=2", receipts=CALLED, said=(refused("no_key_matches"),)),
    fal("tampered", receipts=POLLED, source="poll", said=(refused("no_key_matches"),)),
    fal("other-account=1", receipts=CALLED, said=(refused("other_account"),)),
    fal("stale", receipts=POLLED, source="poll", said=(refused("timestamp_too_old"),)),
    fal("huge=5", receipts=POLLED, source="poll", said=(refused("body_too_long"),)),
    heygen("", receipts=POLLED),
    heygen("failed", receipts=POLLED, state="failed", events=FAILED),
    heygen("slow=0.5", receipts=POLLED),
    heygen("429=1", receipts=POLLED, said=(("job.submit_rescheduled", {"tries": 1}),)),
    heygen("5xx=1", receipts=POLLED, said=(("job.submit_rescheduled", {"tries": 1}), ("poll.failed", {}))),
    heygen("refused", receipts={}, state="failed", source=None, submissions=0, events=("accepted", "failed")),
    heygen("silent", receipts={}, state="expired", source=None, error="unconfirmed",
           events=("accepted", "unconfirmed", "expired"), said=(("job.expired", {"code": "unconfirmed"}),)),
]  # fmt: skip


@dataclass
class Street:
    """The house in which all the cases have ended, and the job of each."""

    house: House
    jobs: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def street(tmp_path_factory: pytest.TempPathFactory, neighbours: Neighbours) -> Iterator[Street]:
    house = House(tmp_path_factory.mktemp("street"), neighbours, **RECONCILE)
    try:
        house.start()
        jobs = {case.errand.mark: str(house.ask(case.errand)) for case in CASES}
        house.wait_settled(15)
        yield Street(house, jobs)
    finally:
        house.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_fault_ends_as_it_should(case: Case, street: Street) -> None:
    house, job_id = street.house, street.jobs[case.errand.mark]
    job = house.job(job_id)
    assert (job["state"], job["source"]) == (case.state, case.source)
    assert case.error is None or job["error"]["code"] == case.error
    assert len(job["outputs"]) == (1 if case.state == "completed" else 0)
    events = [row["type"] for row in house.rows("SELECT type FROM events WHERE subject = ? ORDER BY sequence", job_id)]
    assert events == [f"job.{event}" for event in case.events]
    assert len(house.neighbours.submissions(case.errand)) == case.submissions
    until("the receipts are there", lambda: receipts(house, job_id) == case.receipts, 5)
    for fact, fields in case.said:
        about = {} if fact == "callback.refused" else {"job": job_id}
        assert house.telemetry(fact, **fields, **about), fact
    told = [each for each in house.neighbours.received(job_id) if each["verified"]]
    assert sorted(each["type"] for each in told) == sorted({*events} - {"job.accepted", "job.unconfirmed"})
    assert all(each["attempts"] == 1 for each in told)


def receipts(house: House, job_id: str) -> dict[str, int]:
    found = house.rows("SELECT source, result FROM receipts WHERE job_id = ?", job_id)
    return dict(Counter(f"{row['source']} {row['result']}" for row in found))


def test_a_callback_for_a_job_that_is_not_there_is_kept_as_an_orphan(street: Street) -> None:
    from providers.callback_tokens import CallbackTokens

    house, errand = street.house, Errand()
    token = CallbackTokens([house.settings["SECRET_KEY"]]).sign("job_nobody_knows")
    house.neighbours.http.post(
        f"{house.neighbours.sandbox}/fal/{errand.body['model']}",
        params={"fal_webhook": f"{house.url}/callbacks/fal/{token}"},
        headers={"Authorization": "Key sandbox:key"},
        json=errand.body["input"],
    ).raise_for_status()
    until("an orphan is kept", lambda: receipts(house, "job_nobody_knows") == {"callback orphan": 1}, 5)

    def statuses() -> list[int]:  # the sandbox notes the response a moment after the receiver has sent it
        (submission,) = house.neighbours.submissions(errand)
        return [each["status"] for each in submission["callbacks"]]

    until("the callback is answered", lambda: statuses() == [200], 5)
    assert house.telemetry("callback.recorded", job="job_nobody_knows", result="orphan", level="warning")


def test_keys_that_cannot_be_had_are_503_and_a_new_key_is_fetched_when_it_signs(house: House) -> None:
    both = house.neighbours
    both.set_faults("jwks-down")
    # The floors between fetches are a minute and two seconds: shorter here, everything else as it is.
    shorter = "from receiver.callbacks import keys; keys.FLOOR_MS = 1; keys.FAULT_FLOOR_MS = 100; "
    try:
        house.start(*python("-c", shorter + "from renderhook.cli import main; main(['serve'])"))
        errand = Errand()
        job_id = house.ask(errand)
        until("a callback meets no keys", lambda: house.telemetry("callback.deferred", reason="keys_unavailable"))
        assert both.submissions(errand)[0]["callbacks"][0]["status"] == 503
    finally:
        both.set_faults("")
    house.wait_settled()
    assert receipts(house, str(job_id)) == {"callback recorded": 1}
    fetched = len(house.telemetry("keys.fetched"))
    job_id = house.ask(Errand(faults="key-rotated"))
    house.wait_settled()
    assert receipts(house, str(job_id)) == {"callback recorded": 1}
    assert len(house.telemetry("keys.fetched")) == fetched + 1
    assert not house.telemetry("callback.refused")
