"""A repeated request is the same however its JSON is written."""

from typing import Any

from tests.receiver.conftest import MakeReceiver
from tests.receiver.harness import Receiver
from tests.receiver.test_receiver_job_requests import AS_JSON, requests

SAME = [
    b'{"provider":"fal","model":"a/b","input":{"a":1,"b":[1.5,{"c":"\\u00e9"}]},"notify":[]}',
    b'{"model":"a/b", "provider":"fal", "input": {"b": [15e-1, {"c": "\xc3\xa9"}], "a": 1.0}}',
    b'{"provider":"fal","model":"a/b","input":{"a":10E-1,"b":[1.50,{"c":"\xc3\xa9"}]},"metadata":null,"notify":null}',
]
OTHERS = [
    b'{"provider":"fal","model":"a/b","input":{"a":2,"b":[1.5,{"c":"\xc3\xa9"}]}}',
    b'{"provider":"fal","model":"a/b","input":{"a":1,"b":[{"c":"\xc3\xa9"},1.5]}}',
    b'{"provider":"fal","model":"a/b","input":{"a":true,"b":[1.5,{"c":"\xc3\xa9"}]}}',
    b'{"provider":"fal","model":"a/b","input":{"a":9007199254740993,"b":[]}}',
    b'{"provider":"fal","model":"a/b","input":{"a":9007199254740992.0,"b":[]}}',
    b'{"provider":"fal","model":"a/b","input":{"a":9007199254740992,"b":[]}}',
]


def test_one_request_has_one_digest_however_its_json_is_written() -> None:
    digests = [requests().read(body, "key").digest for body in [*SAME, *OTHERS]]
    assert len(set(digests[: len(SAME)])) == 1
    assert len(set(digests)) == 1 + len(OTHERS)


async def test_a_repeated_request_gets_the_first_job_and_another_request_gets_422(receiver: Receiver) -> None:
    headers = AS_JSON | {"idempotency-key": "order-1"}
    answers = [await receiver.http.post("/v1/jobs", content=body, headers=headers) for body in SAME]
    assert [answer.status_code for answer in answers] == [202, 202, 202]
    assert len({answer.json()["id"] for answer in answers}) == 1
    for body in OTHERS:
        assert (await receiver.http.post("/v1/jobs", content=body, headers=headers)).status_code == 422


async def test_the_notify_url_of_the_settings_is_no_part_of_what_is_compared(make_receiver: MakeReceiver) -> None:
    job: dict[str, Any] = {"provider": "fal", "model": "a/b", "input": {}, "notify": ["https://u.example/hooks"]}
    for notify_url in (None, "https://u.example/hooks", "https://other.example/hooks"):
        receiver = make_receiver(NOTIFY_URL=notify_url) if notify_url else make_receiver()
        answer = await receiver.http.post("/v1/jobs", json=job, headers={"idempotency-key": "order-1"})
        assert answer.status_code == 202


def test_a_long_text_with_many_commas_is_one_value() -> None:
    text = b"a, [b] {c} \\n " * 200_000
    body = b'{"provider":"fal","model":"a/b","input":{"a":"%s"}}' % text
    assert len(requests().read(body, "key").input) > len(text)
