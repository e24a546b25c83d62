"""Told to stop while something is on the wire: it ends in time and in order, and nothing is lost."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.process.children import until
from tests.process.errands import Errand
from tests.process.hanging import HangingEndpoint
from tests.process.house import House
from tests.process.test_process_killed import sound

STOP_SECONDS = 0.6


@pytest.fixture
def endpoint() -> Iterator[HangingEndpoint]:
    with HangingEndpoint() as hanging:
        yield hanging


def stop_in_time(house: House, *signals: signal.Signals) -> None:
    assert house.receiver
    began = time.monotonic()
    for number in signals:
        house.receiver.tell(number)
    assert house.receiver.ended() == 0
    assert time.monotonic() - began < STOP_SECONDS + 2
    assert "Traceback" not in house.receiver.said


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGTERM], [signal.SIGINT], [signal.SIGTERM, signal.SIGTERM]],
    ids=["SIGTERM", "SIGINT", "SIGTERM twice"],
)
def test_a_delivery_that_hangs_is_sent_again_under_its_id(
    signals: list[signal.Signals], house: House, endpoint: HangingEndpoint
) -> None:
    house.settings |= {"STOP_SECONDS": str(STOP_SECONDS), "NOTIFY_URL": endpoint.url}
    house.start()
    job_id = str(house.ask(Errand()))
    until("both events are on the wire", lambda: len(endpoint.heard) == 2)
    assert house.job(job_id)["state"] == "completed"
    stop_in_time(house, *signals)
    assert [row["state"] for row in house.rows("SELECT state FROM deliveries")] == ["pending", "pending"]
    endpoint.answering.set()
    house.start()
    house.wait_settled()
    deliveries = house.rows("SELECT id, state FROM deliveries ORDER BY id")
    assert {row["state"] for row in deliveries} == {"delivered"}
    assert sorted(endpoint.heard) == sorted(row["id"] for row in deliveries for _ in range(2))
    sound(house)


def test_a_submit_on_the_wire_is_not_asked_again(house: House) -> None:
    house.settings |= {"STOP_SECONDS": str(STOP_SECONDS)}
    house.start()
    errand = Errand(faults="slow=4,late=1.2")
    job_id = str(house.ask(errand))
    until("the submit is on the wire", lambda: house.neighbours.submissions(errand))
    stop_in_time(house, signal.SIGTERM)
    house.start()
    house.wait_settled()
    job = house.job(job_id)
    assert (job["state"], job["source"]) == ("completed", "callback")
    assert len(house.neighbours.submissions(errand)) == 1
    assert [each["type"] for each in house.neighbours.received(job_id)] == ["job.completed"]
    sound(house)


def test_a_submit_that_is_answered_while_stopping_is_noted(house: House, tmp_path: Path) -> None:
    house.settings |= {"STOP_SECONDS": "3"}
    house.start()
    errand = Errand(faults="slow=0.6,late=1.2")
    job_id = str(house.ask(errand))
    until("the submit is on the wire", lambda: house.neighbours.submissions(errand))
    stop_in_time(house, signal.SIGTERM)
    assert [row["state"] for row in house.rows("SELECT state FROM jobs")] == ["submitted"]
    house.start()
    house.wait_settled()
    assert house.job(job_id)["source"] == "callback"
    assert len(house.neighbours.submissions(errand)) == 1
    sound(house)
