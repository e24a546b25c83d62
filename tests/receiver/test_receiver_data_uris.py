"""data: URIs of an input are shortened where a job is shown, and whole where it is submitted or asked for."""

import base64
import hashlib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from receiver.api.data_uris import shorten_data_uris
from tests.database import ON_BOTH_DATABASES
from tests.loop_time import LoopTime
from tests.receiver.conftest import MakeReceiver
from tests.receiver.endpoints import Endpoint, Outbox
from tests.receiver.harness import Receiver

FACE = bytes(range(256)) * 8_000
SHORT_FACE = f"data:image/png;size={len(FACE)};sha256={hashlib.sha256(FACE).hexdigest()}"
URI = f"data:image/png;base64,{base64.b64encode(FACE).decode()}"
INPUT = '{ "source_face_url" : "%s",\r\n "target_video_url":"https:\\/\\/u.example\\/v.mp4", "n":1.50 }'
JSON = {"content-type": "application/json"}


def digest(content: bytes) -> str:
    return f"size={len(content)};sha256={hashlib.sha256(content).hexdigest()}"


@pytest.mark.parametrize(
    ("uri", "short"),
    [
        ("data:image/png;base64,aGVsbG8=", f"data:image/png;{digest(b'hello')}"),
        ("DATA:image/png;base64,aGVsbG8", f"data:image/png;{digest(b'hello')}"),
        ("data:text/plain;charset=utf-8;base64,aGVsbG8=", f"data:text/plain;{digest(b'hello')}"),
        ("data:image/svg+xml,%3Csvg%2F%3E", f"data:image/svg+xml;{digest(b'<svg/>')}"),
        ("data:,a%20b", f"data:text/plain;{digest(b'a b')}"),
        ("data:image/png;base64,a!", f"data:image/png;sha256={hashlib.sha256(b'a!').hexdigest()}"),
    ],
)
def test_a_data_uri_is_shortened_to_type_size_and_digest(uri: str, short: str) -> None:
    assert shorten_data_uris(f'{{"a":["{uri}",1.0]}}') == f'{{"a":["{short}",1.0]}}'


def test_escaped_slashes_are_read() -> None:
    assert shorten_data_uris(r'{"a":"data:image\/png;base64,\/\/8="}') == (
        f'{{"a":"data:image/png;{digest(bytes([255, 255]))}"}}'
    )


@pytest.mark.parametrize(
    "text",
    ["{}", '{"a":"https://u.example/?data:image/png,x"}', r'{"a":"say \"data:image/png,x"}', '{"a":"data: a, b"}'],
)
def test_text_that_is_not_a_data_uri_is_left_as_it_is(text: str) -> None:
    assert shorten_data_uris(text) is None


@given(st.dictionaries(st.text(), st.one_of(st.text(), st.text().map(lambda rest: f"data:{rest}"), st.floats(0, 1))))
def test_a_shortened_text_is_json_with_the_same_shape(value: dict[str, object]) -> None:
    text = msgspec.json.encode(value).decode()
    short = msgspec.json.decode(shorten_data_uris(text) or text)
    assert [type(each) for each in short.values()] == [type(each) for each in value.values()]


async def create(receiver: Receiver, uri: str = URI) -> str:
    body = (
        b'{"provider":"fal","model":"half-moon-ai/ai-face-swap/faceswapvideo2","allow_unknown_model":true,"input":%s}'
    )
    response = await receiver.http.post("/v1/jobs", content=body % (INPUT % uri).encode(), headers=JSON)
    assert response.status_code == 202, response.text
    assert (INPUT % SHORT_FACE).encode() in response.content
    return str(response.json()["id"])


@ON_BOTH_DATABASES
async def test_a_job_is_shown_with_short_data_uris_and_submitted_with_whole_ones(make_receiver: MakeReceiver) -> None:
    receiver = make_receiver(MAX_BODY_BYTES="8000000")
    job_id, *_ = [await create(receiver) for _ in range(3)]
    shown = (INPUT % SHORT_FACE).encode()
    for path in (f"/v1/jobs/{job_id}", "/v1/jobs"):
        response = await receiver.http.get(path)
        assert shown in response.content
        assert len(response.content) < 5_000
    whole = await receiver.http.get(f"/v1/jobs/{job_id}/input")
    assert whole.headers["content-type"] == "application/json"
    assert whole.content == (INPUT % URI).encode()
    assert (await receiver.http.get("/v1/jobs/job_none/input")).status_code == 404
    claimed = await receiver.ledger.claim(job_id, claim="claim_1", until=receiver.clock() + 60_000)
    assert claimed.job is not None
    assert claimed.job.input == INPUT % URI


@pytest.mark.parametrize("uris", [[URI], ["data:,x"] * 9_000], ids=["a large one", "many small ones"])
async def test_reading_data_uris_never_holds_the_loop(make_receiver: MakeReceiver, uris: list[str]) -> None:
    receiver = make_receiver(MAX_BODY_BYTES="8000000")
    body = msgspec.json.encode({"provider": "fal", "model": "a/b", "input": {"files": uris}})
    with LoopTime() as loop:
        response = await receiver.http.post("/v1/jobs", content=body, headers=JSON)
    assert response.status_code == 202
    assert loop.longest < 0.05


async def test_an_input_without_data_uris_is_stored_once(receiver: Receiver) -> None:
    body = {"provider": "fal", "model": "a/b", "input": {"x": "https://u.example/data:image/png"}}
    assert (await receiver.http.post("/v1/jobs", json=body)).status_code == 202
    assert receiver.database.query("SELECT short_input FROM inputs") == [{"short_input": None}]


@ON_BOTH_DATABASES
async def test_a_notification_has_short_data_uris(outbox: Outbox, endpoint: Endpoint) -> None:
    await outbox.ended(endpoint.url, input=INPUT % URI, short_input=INPUT % SHORT_FACE)
    await outbox.deliver()
    [received] = endpoint.received
    assert (INPUT % SHORT_FACE).encode() in received.body
    assert len(received.body) < 5_000
