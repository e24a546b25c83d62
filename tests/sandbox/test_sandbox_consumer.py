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


def send(consumer: httpx.Client, webhook_id: str, *, at: datetime | None = None, body: str = BODY) -> int:
    at = at or datetime.now(UTC)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(at.timestamp())),
        "webhook-signature": "v1a,other v1," + Webhook(SECRET).sign(webhook_id, at, BODY).removeprefix("v1,"),
    }
    return consumer.post("/hooks", content=body, headers=headers).status_code


def received(consumer: httpx.Client, webhook_id: str) -> dict[str, Any]:
    return next(each for each in consumer.get("/received").json() if each["webhook_id"] == webhook_id)


def test_a_notification_is_kept_once_and_its_attempts_are_counted(consumer: httpx.Client) -> None:
    assert [send(consumer, "msg_1") for _ in range(3)] == [500, 202, 202]
    entry = received(consumer, "msg_1")
    assert entry["body"] == json.loads(BODY)
    del entry["body"]
    assert entry == {
        "webhook_id": "msg_1",
        "attempts": 3,
        "type": "job.completed",
        "verified": True,
        "sequence": 3,
        "job_id": "j1",
    }


def test_a_changed_body_is_rejected_and_does_not_replace_a_verified_one(consumer: httpx.Client) -> None:
    assert send(consumer, "msg_2", body="[]") == 401
    assert not received(consumer, "msg_2")["verified"]
    send(consumer, "msg_2")
    assert send(consumer, "msg_2", body="not even json") == 401
    assert received(consumer, "msg_2")["job_id"] == "j1"


@pytest.mark.parametrize("minutes", [-6, 6])
def test_a_timestamp_out_of_tolerance_is_rejected(consumer: httpx.Client, minutes: int) -> None:
    assert send(consumer, f"msg_{minutes}", at=datetime.now(UTC) + timedelta(minutes=minutes)) == 401


def test_a_request_without_a_signature_is_rejected(consumer: httpx.Client) -> None:
    assert consumer.post("/", content=b"{}").status_code == 401
    assert (
        consumer.post("/", headers={"webhook-id": "x", "webhook-timestamp": str(int(time.time()))}).status_code == 401
    )
