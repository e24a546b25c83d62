import base64
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from sandbox.demo.consumer import create_consumer
from tests.sandbox.doubles import serving

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
BODY = json.dumps(
    {"type": "job.completed", "timestamp": "2026-01-01T00:00:00Z", "data": {"sequence": 3, "job": {"id": "j1"}}}
)


@pytest.fixture(scope="module")
def consumer() -> Iterator[httpx.Client]:
    with serving(create_consumer(SECRET, fail_first=1, status=202)) as url, httpx.Client(base_url=url) as client:
        yield client


def send(consumer: httpx.Client, webhook_id: str, *, at: datetime | None = None, sent: str = BODY) -> int:
    at = at or datetime.now(UTC)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": "v1a,other v1," + Webhook(SECRET).sign(webhook_id, at, BODY).removeprefix("v1,"),
    }
    return consumer.post("/hooks", content=sent, headers=headers).status_code


def received(consumer: httpx.Client, webhook_id: str) -> dict[str, Any]:
    return next(each for each in consumer.get("/received").json() if each["webhook_id"] == webhook_id)


def test_a_notification_is_kept_once_however_often_it_comes(consumer: httpx.Client) -> None:
    assert [send(consumer, "msg_1") for _ in range(3)] == [500, 202, 202]
    telemetry = received(consumer, "msg_1")
    assert telemetry["body"] == json.loads(BODY)
    del telemetry["body"]
    assert telemetry == {
        "webhook_id": "msg_1",
        "attempts": 3,
        "type": "job.completed",
        "verified": True,
        "sequence": 3,
        "job_id": "j1",
    }


def test_a_changed_body_is_refused_and_spoils_nothing(consumer: httpx.Client) -> None:
    assert send(consumer, "msg_2", sent="[]") == 401
    assert not received(consumer, "msg_2")["verified"]
    send(consumer, "msg_2")
    assert send(consumer, "msg_2", sent="not even json") == 401
    assert received(consumer, "msg_2")["job_id"] == "j1"


@pytest.mark.parametrize("minutes", [-6, 6])
def test_an_old_or_early_notification_is_refused(consumer: httpx.Client, minutes: int) -> None:
    assert send(consumer, f"msg_{minutes}", at=datetime.now(UTC) + timedelta(minutes=minutes)) == 401


def test_a_bare_request_is_refused(consumer: httpx.Client) -> None:
    assert consumer.post("/", content=b"{}").status_code == 401
    assert (
        consumer.post("/", headers={"webhook-id": "x", "webhook-timestamp": str(int(time.time()))}).status_code == 401
    )
