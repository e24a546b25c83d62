"""kill -9 at every step boundary, and a restart on the same file: nothing lost, nothing asked or told twice."""

import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.process.children import python, until
from tests.process.errands import Errand
from tests.process.house import House, Neighbours

QUICK_RECONCILE = {"FAL_RECONCILE_SECONDS": "0.3"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """Where the receiver dies, and the one right end of the job."""

    doom: str
    errand: Errand = field(default_factory=Errand)
    settings: dict[str, str] = field(default_factory=dict)
    state: str = "completed"
    source: str | None = "callback"
    submissions: int = 1
    events: tuple[str, ...] = ("accepted", "submitted", "completed")
    error: str | None = None
    loud: tuple[str, ...] = ()
    """Telemetry about the job that must be in the log as warnings."""

    def __str__(self) -> str:
        words = [self.errand.provider, self.doom, *(f"{name}={value}" for name, value in self.settings.items())]
        return "-".join(words).replace(" ", "-")


def polled(doom: str) -> Case:
    return Case(doom=doom, errand=Errand(faults="lost"), settings=QUICK_RECONCILE, source="poll")


def heygen(doom: str) -> Case:
    return Case(doom=doom, errand=Errand(provider="heygen"), source="poll")


UNCONFIRMED = ("accepted", "unconfirmed", "completed")
IN_VAIN = ("accepted", "unconfirmed", "expired")

CASES = [
    Case(doom="before insert_job"),
    Case(doom="after insert_job"),
    Case(doom="before claim_submission"),
    # Claimed, and dead before a byte left: nobody can tell that from a request that arrived, so it is not asked again.
    Case(
        doom="after claim_submission",
        settings={"FAL_TIMEOUT_SECONDS": "0.5"},
        state="expired",
        source=None,
        submissions=0,
        events=IN_VAIN,
        error="unconfirmed",
        loud=("job.expired",),
    ),
    Case(doom="answered SANDBOX", events=UNCONFIRMED),
    Case(doom="before confirm_submission", events=UNCONFIRMED),
    Case(doom="after confirm_submission"),
    Case(doom="before settle_job source=callback"),
    Case(doom="after settle_job source=callback"),
    polled("before settle_job source=poll"),
    polled("after settle_job source=poll"),
    heygen("after confirm_submission"),
    heygen("before settle_job source=poll"),
    heygen("after settle_job source=poll"),
    Case(doom="before fetch_work kind=deliver"),
    Case(doom="after fetch_work kind=deliver"),
    Case(doom="answered CONSUMER"),
    Case(doom="before settle_delivery"),
    Case(doom="after settle_delivery"),
]


def untold(provider: str, **settings: str) -> list[Case]:
    """The provider took the job, we died before noting it, and nobody will call: what each policy makes of that."""
    doom, errand = "answered SANDBOX", lambda: Errand(provider=provider)
    return [
        Case(
            doom=doom,
            errand=errand(),
            settings=settings | {"RESUBMIT_UNCONFIRMED": "never"},
            state="expired",
            source=None,
            events=IN_VAIN,
            error="unconfirmed",
            loud=("job.expired",),
        ),
        Case(
            doom=doom,
            errand=errand(),
            settings=settings | {"RESUBMIT_UNCONFIRMED": "after:1"},
            source="poll",
            submissions=2,
            events=("accepted", "unconfirmed", "submitted", "completed"),
            loud=("job.resubmitted",),
        ),
    ]


UNTOLD = [*untold("heygen"), *untold("fal", PUBLIC_URL="", FAL_POLL_SECONDS="0.2")]


@pytest.fixture(scope="module")
def proofs(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, neighbours: Neighbours
) -> Iterator[dict[str, Future[None]]]:
    """The chosen cases, each in a house of its own, three at a time: most of a restart is waiting."""
    callspecs = (getattr(item, "callspec", None) for item in request.session.items if item.path == request.path)
    chosen = [callspec.params["case"] for callspec in callspecs if callspec and "case" in callspec.params]
    with ThreadPoolExecutor(3) as pool:
        yield {str(case): pool.submit(prove, case, tmp_path_factory.mktemp("killed"), neighbours) for case in chosen}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_was_under_way_ends_once_after_a_restart(case: Case, proofs: dict[str, Future[None]]) -> None:
    proofs[str(case)].result()


@pytest.mark.parametrize("case", UNTOLD, ids=str)
def test_what_nobody_will_tell_us_is_expired_loudly_or_asked_again_aloud(
    case: Case, proofs: dict[str, Future[None]]
) -> None:
    proofs[str(case)].result()


def prove(case: Case, folder: Path, neighbours: Neighbours) -> None:
    house = House(folder, neighbours)
    try:
        ends_once(case, house)
    except BaseException as error:
        error.add_note(house.tails())
        raise
    finally:
        house.kill()


def ends_once(case: Case, house: House) -> None:
    job_id = killed_and_restarted(house, case)
    job = house.job(job_id)
    assert (job["state"], job["source"]) == (case.state, case.source)
    assert len(job["outputs"]) == (1 if case.state == "completed" else 0)
    assert len(house.neighbours.submissions(case.errand)) == case.submissions
    assert [row["type"] for row in house.rows("SELECT type FROM events ORDER BY sequence")] == [
        f"job.{event}" for event in case.events
    ]
    assert (job["error"] or {}).get("code") == case.error
    assert len(house.telemetry("job.became_unconfirmed", job=job_id)) == case.events.count("unconfirmed")
    assert all(house.telemetry(fact, job=job_id, level="warning") for fact in case.loud)
    told = each_told_once(house, job_id)
    assert sorted(told) == sorted(f"job.{event}" for event in case.events if event not in {"accepted", "unconfirmed"})
    sound(house)


def killed_and_restarted(house: House, case: Case) -> str:
    """Let a doomed receiver take the errand and die, then a normal one end it; return the job's id."""
    house.settings |= case.settings
    neighbours = house.neighbours
    house.settings["DOOM"] = case.doom.replace("SANDBOX", neighbours.sandbox).replace("CONSUMER", neighbours.consumer)
    doomed = house.start(*python("-m", "tests.process.doomed"))
    answered = house.ask(case.errand)
    assert doomed.ended(6) == -signal.SIGKILL
    house.start()
    job_id = house.ask(case.errand)  # as a client does that had no answer, under the same Idempotency-Key
    assert job_id
    assert answered in {None, job_id}
    assert len(house.rows("SELECT id FROM jobs")) == 1
    house.wait_settled()
    return job_id


def each_told_once(house: House, job_id: str) -> dict[str, int]:
    """Hold deliveries against what came: one webhook-id for an event, delivered. Returns attempts by event."""
    received = until("the consumer was told", lambda: house.neighbours.received(job_id))
    attempts = {each["type"]: each["attempts"] for each in received}
    assert len(attempts) == len(received), received
    deliveries = house.rows("SELECT id, state FROM deliveries")
    assert {row["state"] for row in deliveries} == {"delivered"}
    assert sorted(row["id"] for row in deliveries) == sorted(each["webhook_id"] for each in received)
    assert all(each["verified"] for each in received)
    return attempts


def sound(house: House) -> None:
    """Hold the file itself to be whole, with nothing left to do."""
    assert house.rows("PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    assert house.rows("PRAGMA foreign_key_check") == []
    assert house.rows("SELECT * FROM work") == []
