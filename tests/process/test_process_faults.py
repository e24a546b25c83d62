"""Every fault of the sandbox, through real processes: the outcome, the receipts, the events in the log."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import pytest

from tests.process.children import python, until
from tests.process.deployment import Deployment, Services
from tests.process.job_requests import JobRequest

# The first poll comes about a second after the submission; the jobs take 0.3 s.
RECONCILE = {"FAL_RECONCILE_SECONDS": "1", "HEYGEN_TIMEOUT_SECONDS": "8"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """A fault and the expected result. `receipts` counts by source and result, `logged` are events and fields."""

    job_request: JobRequest
    state: str = "completed"
    source: str | None = "callback"
    receipts: dict[str, int]
    submissions: int = 1
    logged: tuple[tuple[str, dict[str, object]], ...] = ()
    events: tuple[str, ...] = ("accepted", "submitted", "completed")
    error: str | None = None

    def __str__(self) -> str:
        return f"{self.job_request.provider}-{self.job_request.faults or 'none'}"


def fal(faults: str, **expected: object) -> Case:
    return Case(job_request=JobRequest(faults=faults), **expected)  # type: ignore[arg-type]  # tests name the fields


def heygen(faults: str, **expected: object) -> Case:
    return Case(job_request=JobRequest(provider="heygen", faults=faults), **{"source": "poll"} | expected)  # type: ignore[arg-type]  # tests name the fields


def refused(reason: str) -> tuple[str, dict[str, object]]:
    return "callback.refused", {"reason": reason}


CALLED, POLLED = {"callback recorded": 1}, {"poll recorded": 1}
FAILED = ("accepted", "submitted", "failed")
UNCONFIRMED = ("accepted", "completed")  # the callback came before the response to the submission

CASES = [
    fal("", receipts=CALLED),
    fal("failed", receipts=CALLED, state="failed", events=FAILED, error="face_detection_error"),
    fal("duplicate", receipts=CALLED | {"callback duplicate": 1}),
    fal("conflict", receipts=CALLED | {"callback conflict": 1},
        logged=(("callback.recorded", {"result": "conflict"}),)),
    fal("early", receipts=CALLED, events=UNCONFIRMED, logged=(("job.already_confirmed", {}),)),
    fal("slow=0.6", receipts=CALLED, events=UNCONFIRMED, logged=(("job.already_confirmed", {}),)),
    fal("null-payload", receipts=POLLED | {"callback pending": 1}, source="poll"),
    fal("429=1", receipts=CALLED, logged=(("job.submit_rescheduled", {"tries": 1}),)),
    fal("5xx=1", receipts=CALLED, logged=(("job.submit_rescheduled", {"tries": 1}),)),
    fal("refused", receipts={}, state="failed", source=None, submissions=0, events=("accepted", "failed"),
        logged=(("job.failed", {"fault": "input", "source": "submission"}),)),
    fal("silent", receipts=CALLED, events=("accepted", "unconfirmed", "completed"),
        logged=(("job.became_unconfirmed", {"code": "answer_unread"}),)),
    fal("lost", receipts=POLLED, source="poll"),
    fal("late=1.6", receipts=POLLED | {"callback duplicate": 1}, source="poll"),
    fal("reordered=0.5", receipts=CALLED),
    fal("tampered=2", receipts=CALLED, logged=(refused("no_key_matches"),)),
    fal("tampered", receipts=POLLED, source="poll", logged=(refused("no_key_matches"),)),
    fal("other-account=1", receipts=CALLED, logged=(refused("other_account"),)),
    fal("stale", receipts=POLLED, source="poll", logged=(refused("timestamp_too_old"),)),
    fal("huge=5", receipts=CALLED),
    heygen("", receipts=POLLED),
    heygen("failed", receipts=POLLED, state="failed", events=FAILED),
    heygen("slow=0.5", receipts=POLLED),
    heygen("429=1", receipts=POLLED, logged=(("job.submit_rescheduled", {"tries": 1}),)),
    heygen("5xx=1", receipts=POLLED, logged=(("job.submit_rescheduled", {"tries": 1}), ("poll.failed", {}))),
    heygen("refused", receipts={}, state="failed", source=None, submissions=0, events=("accepted", "failed")),
    heygen("silent", receipts={}, state="expired", source=None, error="unconfirmed",
           events=("accepted", "unconfirmed", "expired"), logged=(("job.expired", {"code": "unconfirmed"}),)),
]  # fmt: skip


@dataclass
class Ended:
    """The deployment in which all the cases have ended, and the job of each."""

    deployment: Deployment
    jobs: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory, services: Services) -> Iterator[Ended]:
    deployment = Deployment(tmp_path_factory.mktemp("ended"), services, **RECONCILE)
    try:
        deployment.start()
        jobs = {case.job_request.mark: str(deployment.submit(case.job_request)) for case in CASES}
        deployment.wait_settled(15)
        yield Ended(deployment, jobs)
    finally:
        deployment.close()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_each_fault_has_the_expected_outcome(case: Case, ended: Ended) -> None:
    deployment, job_id = ended.deployment, ended.jobs[case.job_request.mark]
    job = deployment.job(job_id)
    assert (job["state"], job["source"]) == (case.state, case.source)
    assert case.error is None or job["error"]["code"] == case.error
    assert len(job["outputs"]) == (1 if case.state == "completed" else 0)
    events = [
        row["type"] for row in deployment.rows("SELECT type FROM events WHERE subject = ? ORDER BY sequence", job_id)
    ]
    assert events == [f"job.{event}" for event in case.events]
    assert len(deployment.services.submissions(case.job_request)) == case.submissions
    until("the receipts are there", lambda: receipts(deployment, job_id) == case.receipts, 5)
    for event, fields in case.logged:
        about = {} if event == "callback.refused" else {"job": job_id}
        until(f"{event} is logged", partial(deployment.logged, event, **fields, **about), 5)
    received = [each for each in deployment.services.received(job_id) if each["verified"]]
    assert sorted(each["type"] for each in received) == sorted({*events} - {"job.accepted", "job.unconfirmed"})
    assert all(each["attempts"] == 1 for each in received)


def receipts(deployment: Deployment, job_id: str) -> dict[str, int]:
    found = deployment.rows("SELECT source, result FROM receipts WHERE job_id = ?", job_id)
    return dict(Counter(f"{row['source']} {row['result']}" for row in found))


def test_a_callback_for_an_unknown_job_is_recorded_as_an_orphan(ended: Ended) -> None:
    from providers.callback_tokens import CallbackTokens

    deployment, job_request = ended.deployment, JobRequest()
    token = CallbackTokens([deployment.settings["SECRET_KEY"]]).sign("job_unknown")
    deployment.services.http.post(
        f"{deployment.services.sandbox}/fal/{job_request.body['model']}",
        params={"fal_webhook": f"{deployment.url}/callbacks/fal/{token}"},
        headers={"Authorization": "Key sandbox:key"},
        json=job_request.body["input"],
    ).raise_for_status()
    until("an orphan is recorded", lambda: receipts(deployment, "job_unknown") == {"callback orphan": 1}, 5)

    def statuses() -> list[int]:  # the sandbox records the response a moment after the receiver has sent it
        (submission,) = deployment.services.submissions(job_request)
        return [each["status"] for each in submission["callbacks"]]

    until("the callback is answered", lambda: statuses() == [200], 5)
    logged = {"job": "job_unknown", "result": "orphan", "level": "warning"}
    until("it is logged", lambda: deployment.logged("callback.recorded", **logged))


def test_callbacks_get_503_without_keys_and_a_rotated_key_is_fetched(deployment: Deployment) -> None:
    services = deployment.services
    services.set_faults("jwks-down")
    # The floors between fetches are a minute and two seconds: shorter here, everything else as it is.
    shorter = "from receiver.callbacks import keys; keys.FLOOR_MS = 1; keys.FAULT_FLOOR_MS = 100; "
    try:
        deployment.start(*python("-c", shorter + "from renderhook.cli import main; main(['serve'])"))
        job_request = JobRequest()
        job_id = deployment.submit(job_request)
        until("a callback meets no keys", lambda: deployment.logged("callback.deferred", reason="keys_unavailable"))
        assert services.submissions(job_request)[0]["callbacks"][0]["status"] == 503
    finally:
        services.set_faults("")
    deployment.wait_settled()
    assert receipts(deployment, str(job_id)) == {"callback recorded": 1}
    fetched = len(deployment.logged("keys.fetched"))
    job_id = deployment.submit(JobRequest(faults="key-rotated"))
    deployment.wait_settled()
    assert receipts(deployment, str(job_id)) == {"callback recorded": 1}
    until("the new key is fetched", lambda: len(deployment.logged("keys.fetched")) > fetched)
    assert len(deployment.logged("keys.fetched")) == fetched + 1
    assert not deployment.logged("callback.refused")
