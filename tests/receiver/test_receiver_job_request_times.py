"""No body of POST /v1/jobs holds the event loop for 50 ms. Not run by `make coverage`, whose tracing takes longer."""

import time

import pytest

from receiver.web.json_bodies import MOST_VALUES
from receiver.web.problems import Problem
from tests.receiver.test_receiver_job_requests import requests

COSTLY = {
    "exponents": b"1e300,",
    "subnormal numbers": b"4.9e-320,",
    "lists": b"[],",
    "objects": b'{"a":1},',
    "strings": b'"a",',
    "escapes": b'"\\"\\\\",',
    "brackets": b"[",
    "members": b'{"a":',
    "quotes": b'"',
    "digits": b"9",
}


@pytest.mark.parametrize("name", COSTLY)
def test_four_megabytes_of_anything_are_refused_within_50_ms(name: str) -> None:
    part = COSTLY[name]
    body = b'{"provider":"fal","model":"a/b","input":{"a":[' + part * (4_000_000 // len(part)) + b"0]}}"
    took = []
    for _ in range(3):  # the least: a busy machine is not a failure
        began = time.thread_time()
        with pytest.raises(Problem):
            requests().read(body, None)
        took.append(time.thread_time() - began)
    assert min(took) < 0.05


@pytest.mark.parametrize("number", [b"1.7976931348623157e308", b"4.9e-320", b"1.5", b"9" * 100])
def test_as_many_numbers_as_are_allowed_are_read_within_50_ms(number: bytes) -> None:
    body = b'{"provider":"fal","model":"a/b","input":{"a":[%s]}}' % b",".join([number] * (MOST_VALUES - 100))
    took = []
    for _ in range(3):
        began = time.thread_time()
        requests().read(body, None)
        took.append(time.thread_time() - began)
    assert min(took) < 0.05
