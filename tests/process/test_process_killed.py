"""SIGKILL at every step, and a restart on the same file: nothing is lost, submitted twice or delivered twice."""

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.process.children import python, until
from tests.process.deployment import Deployment, Services
from tests.process.job_requests import JobRequest

QUICK_RECONCILE = {"FAL_RECONCILE_SECONDS": "0.3"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """The step at which the receiver dies, and the expected outcome of the job."""

    crash_at: str
    job_request: JobRequest = field(default_factory=JobRequest)
    settings: dict[str, str] = field(default_factory=dict)
    state: str = "completed"
    source: str | None = "callback"
    submissions: int = 1
    events: tuple[str, ...] = ("accepted", "submitted", "completed")
    error: str | None = None
    warnings: tuple[str, ...] = ()
    """Telemetry about the job that must be in the log as warnings."""

    def __str__(self) -> str:
        words = [
            self.job_request.provider,
            self.crash_at,
            *(f"{name}={value}" for name, value in self.settings.items()),
        ]
        return "-".join(words).replace(" ", "-")


def polled(crash_at: str) -> Case:
    return Case(crash_at=crash_at, job_request=JobRequest(faults="lost"), settings=QUICK_RECONCILE, source="poll")


def heygen(crash_at: str) -> Case:
    return Case(crash_at=crash_at, job_request=JobRequest(provider="heygen"), source="poll")


UNCONFIRMED = ("accepted", "unconfirmed", "completed")
GIVEN_UP = ("accepted", "unconfirmed", "expired")

CASES = [
    Case(crash_at="before insert_job"),
    Case(crash_at="after insert_job"),
    Case(crash_at="before claim_submission"),
    # Killed before a byte was sent, which cannot be known, so the job is not submitted again.
    Case(
        crash_at="after claim_submission",
        settings={"FAL_TIMEOUT_SECONDS": "0.5"},
        state="expired",
        source=None,
        submissions=0,
        events=GIVEN_UP,
        error="unconfirmed",
        warnings=("job.expired",),
    ),
    # The callback comes after the restart, and not while it is going on.
    Case(crash_at="answered SANDBOX", job_request=JobRequest(faults="long=4"), events=UNCONFIRMED),
    Case(crash_at="before confirm_submission", job_request=JobRequest(faults="long=4"), events=UNCONFIRMED),
    Case(crash_at="after confirm_submission"),
    Case(crash_at="before settle_job source=callback"),
    Case(crash_at="after settle_job source=callback"),
    polled("before settle_job source=poll"),
    polled("after settle_job source=poll"),
    heygen("after confirm_submission"),
    heygen("before settle_job source=poll"),
    heygen("after settle_job source=poll"),
    Case(crash_at="before fetch_work kind=deliver"),
    Case(crash_at="after fetch_work kind=deliver"),
    Case(crash_at="answered CONSUMER"),
    Case(crash_at="before settle_delivery"),
    Case(crash_at="after settle_delivery"),
]


def unconfirmed(provider: str, **settings: str) -> list[Case]:
    """The provider accepts the job, the receiver dies before recording it, and no callback comes; each policy."""
    crash_at = "answered SANDBOX"
    return [
        Case(
            crash_at=crash_at,
            job_request=JobRequest(provider=provider),
            settings=settings | {"RESUBMIT_UNCONFIRMED": "never", f"{provider.upper()}_TIMEOUT_SECONDS": "0.5"},
            state="expired",
            source=None,
            events=GIVEN_UP,
            error="unconfirmed",
            warnings=("job.expired",),
        ),
        Case(
            crash_at=crash_at,
            job_request=JobRequest(provider=provider),
            settings=settings | {"RESUBMIT_UNCONFIRMED": "after:1"},
            source="poll",
            submissions=2,
            events=("accepted", "unconfirmed", "submitted", "completed"),
            warnings=("job.resubmitted",),
        ),
    ]


NOT_CALLED_BACK = [*unconfirmed("heygen"), *unconfirmed("fal", PUBLIC_URL="", FAL_POLL_SECONDS="0.2")]


@pytest.fixture(scope="module")
def results(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, services: Services
) -> Iterator[dict[str, Future[None]]]:
    """Run the chosen cases, each in a deployment of its own, three at a time: most of a restart is waiting."""
    callspecs = (getattr(item, "callspec", None) for item in request.session.items if item.path == request.path)
    chosen = [callspec.params["case"] for callspec in callspecs if callspec and "case" in callspec.params]
    with ThreadPoolExecutor(3) as pool:
        yield {str(case): pool.submit(run_case, case, tmp_path_factory.mktemp("killed"), services) for case in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_job_ends_once_after_a_kill_and_a_restart(case: Case, results: dict[str, Future[None]]) -> None:
    results[str(case)].result()


@pytest.mark.parametrize("case", NOT_CALLED_BACK, ids=str)
def test_an_unconfirmed_job_without_a_callback_is_expired_or_submitted_again_with_a_warning(
    case: Case, results: dict[str, Future[None]]
) -> None:
    results[str(case)].result()


def run_case(case: Case, folder: Path, services: Services) -> None:
    deployment = Deployment(folder, services)
    try:
        ends_once(case, deployment)
    except BaseException as error:
        error.add_note(deployment.tails())
        raise
    finally:
        deployment.kill()


def ends_once(case: Case, deployment: Deployment) -> None:
    job_id = killed_and_restarted(deployment, case)
    job = deployment.job(job_id)
    assert (job["state"], job["source"]) == (case.state, case.source)
    assert len(job["outputs"]) == (1 if case.state == "completed" else 0)
    assert len(deployment.services.submissions(case.job_request)) == case.submissions
    assert [row["type"] for row in deployment.rows("SELECT type FROM events ORDER BY sequence")] == [
        f"job.{event}" for event in case.events
    ]
    assert (job["error"] or {}).get("code") == case.error
    assert len(deployment.logged("job.became_unconfirmed", job=job_id)) == case.events.count("unconfirmed")
    assert all(deployment.logged(event, job=job_id, level="warning") for event in case.warnings)
    delivered = check_deliveries_once(deployment, job_id)
    assert sorted(delivered) == sorted(
        f"job.{event}" for event in case.events if event not in {"accepted", "unconfirmed"}
    )
    check_integrity(deployment)


def killed_and_restarted(deployment: Deployment, case: Case) -> str:
    """Submit to a receiver that crashes, then restart it without the crash; return the job's id."""
    deployment.settings |= case.settings
    services = deployment.services
    deployment.settings["CRASH_AT"] = case.crash_at.replace("SANDBOX", services.sandbox).replace(
        "CONSUMER", services.consumer
    )
    crashing = deployment.start(*python("-m", "tests.process.crashing"))
    first_response = deployment.submit(case.job_request)
    assert crashing.wait(6) == -signal.SIGKILL
    deployment.start()
    job_id = deployment.submit(
        case.job_request
    )  # as a client does that had no response, under the same Idempotency-Key
    assert job_id
    assert first_response in {None, job_id}
    assert len(deployment.rows("SELECT id FROM jobs")) == 1
    deployment.wait_settled()
    return job_id


def check_deliveries_once(deployment: Deployment, job_id: str) -> dict[str, int]:
    """Compare deliveries with the notifications received: one webhook-id an event. Returns attempts by event."""
    received = until("the consumer has received a notification", lambda: deployment.services.received(job_id))
    attempts = {each["type"]: each["attempts"] for each in received}
    assert len(attempts) == len(received), received
    deliveries = deployment.rows("SELECT id, state FROM deliveries")
    assert {row["state"] for row in deliveries} == {"delivered"}
    assert sorted(row["id"] for row in deliveries) == sorted(each["webhook_id"] for each in received)
    assert all(each["verified"] for each in received)
    return attempts


def check_integrity(deployment: Deployment) -> None:
    """Check that the file is whole and no work is queued."""
    assert deployment.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert deployment.rows("PRAGMA foreign_key_check") == []
    assert deployment.rows("SELECT * FROM work") == []
