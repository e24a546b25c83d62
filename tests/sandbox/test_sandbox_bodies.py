"""Bodies and faults that no provider would take: each is a 4xx, and what was there before goes on."""

import pytest

from sandbox.faults import MOST, MOST_MEGABYTES, UnknownFaultError, parse_faults
from tests.sandbox.doubles import VIDEO_SWAP, Client

BODIES = {
    "NaN": b'{"x": NaN}',
    "Infinity": b'{"x": [-Infinity]}',
    "too large a number": b'{"x": 1e400}',
    "half of a character": b'{"x": "\\ud800"}',
    "100,000 levels": b'{"x": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "500 levels": b'{"x": ' + b"[" * 500 + b"]" * 500 + b"}",
    "no UTF-8": b'{"x": "\xff"}',
    "no object": b"[1]",
    "nothing": b"",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize(
    "path", [f"/fal/{VIDEO_SWAP}", f"/fal/run/{VIDEO_SWAP}", "/heygen/v1/workflows/executions", "/sandbox/faults"]
)
def test_a_body_that_cannot_be_used_is_refused(path: str, body: bytes, sandbox: Client) -> None:
    assert 400 <= sandbox.http.post(path, content=body).status_code < 500
    assert sandbox.http.get("/sandbox/submissions").status_code == 200


def test_a_body_of_a_hundred_levels_is_taken(sandbox: Client) -> None:
    body = b'{"x": ' + b"[" * 98 + b"]" * 98 + b"}"
    assert sandbox.http.post(f"/fal/{VIDEO_SWAP}", content=body).status_code == 200
    assert sandbox.http.get("/sandbox/submissions").status_code == 200


@pytest.mark.parametrize("number", ["inf", "nan", "-1", "1e9", "1e400", str(MOST + 1)])
@pytest.mark.parametrize("fault", ["jwks-down", "huge", "late", "duplicate", "slow", "5xx", "long"])
def test_a_number_out_of_range_is_refused(fault: str, number: str, sandbox: Client) -> None:
    with pytest.raises(UnknownFaultError, match="takes a number from 0 to"):
        parse_faults(f"{fault}={number}")
    assert sandbox.submit(f"{fault}={number}").status_code == 400
    assert sandbox.http.post("/sandbox/faults", json={"faults": f"{fault}={number}"}).status_code == 400


def test_the_largest_numbers_are_taken() -> None:
    assert parse_faults(f"huge={MOST_MEGABYTES},long={MOST}") == {"huge": MOST_MEGABYTES, "long": MOST}


@pytest.mark.parametrize(
    "url", ["http://[#fault=lost", "http://[#fault=", "#fault=lost", "x" * 100_000 + "#fault=lost"]
)
def test_a_fault_is_read_from_any_text(url: str, sandbox: Client) -> None:
    assert sandbox.submit(source_face_url=url).status_code == 200
