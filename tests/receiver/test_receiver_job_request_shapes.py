"""A body of POST /v1/jobs of another shape: the response says where it is wrong, in plain words."""

import pytest

from tests.receiver.harness import LIMIT, Receiver
from tests.receiver.test_receiver_app import is_problem
from tests.receiver.test_receiver_job_requests import ANY, AS_JSON


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        (ANY | {"provider": "replicate"}, "provider"),
        ({"provider": "fal", "model": "a/b"}, "input"),
        ({"provider": "fal", "input": {}}, "model"),
        (ANY | {"inputs": {}}, "inputs"),
        (ANY | {"model": 7}, "model"),
        (ANY | {"input": []}, "input"),
        (ANY | {"metadata": "x"}, "metadata"),
        (ANY | {"notify": "https://u.example"}, "notify"),
        (ANY | {"notify": [1]}, "notify"),
        ([], "object"),
    ],
)
async def test_a_body_of_another_shape_gets_422_that_says_where(receiver: Receiver, body: object, hint: str) -> None:
    response = await receiver.http.post("/v1/jobs", json=body)
    assert is_problem(response, 422)
    assert hint in response.json()["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "the body is not valid JSON: it ends too early"),
        (b"{", "the body is not valid JSON: it ends too early"),
        (b"\xff\xfe{\x00}\x00", "the body is not valid JSON: invalid character (byte 0)"),
        (b"provider=fal", "the body is not valid JSON: invalid character (byte 0)"),
        (b'{"provider":"fal","model":"a/b","input":{"a":"\xff"}}', "the body is not UTF-8"),
        (b'{"provider":"fal","model":"a/b","input":{"a":NaN}}', "the body is not valid JSON: invalid character"),
    ],
)
async def test_a_body_that_is_not_json_gets_400_that_says_why(receiver: Receiver, body: bytes, words: str) -> None:
    response = await receiver.http.post("/v1/jobs", content=body, headers=AS_JSON)
    assert is_problem(response, 400)
    assert response.json()["detail"].startswith(words)


async def test_every_faulty_field_is_named_in_plain_words(receiver: Receiver) -> None:
    body = {"provider": 7, "inputs": {}, "zzz": 1, "metadata": [], "notify": ["https://u.example", 1]}
    response = await receiver.http.post("/v1/jobs", json=body)
    assert is_problem(response, 422)
    assert {error["field"]: error["message"] for error in response.json()["errors"]} == {
        "inputs": "is not a field; did you mean input?",
        "zzz": "is not a field; the fields are provider, model, input, metadata, notify",
        "provider": "must be a string, not a number",
        "model": "is required",
        "input": "is required",
        "metadata": "must be an object, not an array",
        "notify[1]": "must be a string, not a number",
    }


async def test_a_body_over_the_limit_gets_413(receiver: Receiver) -> None:
    assert is_problem(await receiver.http.post("/v1/jobs", json=ANY | {"input": {"x": "y" * LIMIT}}), 413)
