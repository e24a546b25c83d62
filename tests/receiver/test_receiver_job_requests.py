"""The body of POST /v1/jobs: every error names its field, and a valid input is kept byte for byte."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.requests import NewJob
from outbound.targets import Targets
from receiver.api.job_requests import JobRequests
from receiver.web.problems import Problem
from tests.receiver.conftest import MakeReceiver
from tests.receiver.harness import Receiver
from tests.receiver.test_receiver_app import is_problem

unhurried = settings(deadline=None)  # a busy machine is not a failure

FACES = {"source_face_url": "https://u.example/f.png", "target_video_url": "https://u.example/v.mp4"}
VIDEO_SWAP = {"provider": "fal", "model": "half-moon-ai/ai-face-swap/faceswapvideo", "input": FACES}
ANY: dict[str, Any] = {"provider": "fal", "model": "a/b", "input": {}}
FACESWAP = {
    "provider": "heygen",
    "model": "FaceswapNode",
    "input": {"source_image_url": "https://u.example/f.png", "target_video_url": "https://u.example/v.mp4"},
}
AS_JSON = {"content-type": "application/json; charset=utf-8"}


def requests(**options: Any) -> JobRequests:
    given: dict[str, Any] = {
        "providers": ("fal", "heygen"),
        "targets": Targets(()),
        "signing": True,
    }
    return JobRequests(**given | options)


def read(body: object, key: str | None = None, **options: Any) -> NewJob:
    return requests(**options).read(msgspec.json.encode(body), key)


def errors_of(body: object, **options: Any) -> dict[str, str]:
    with pytest.raises(Problem) as refused:
        read(body, **options)
    assert refused.value.status == 422
    return dict(refused.value.errors)


@pytest.mark.parametrize("good", [VIDEO_SWAP, ANY, FACESWAP], ids=["a typed fal model", "any fal model", "heygen"])
def test_a_valid_request_becomes_a_job(good: dict[str, Any]) -> None:
    job = read(good)
    assert (job.provider, job.model, job.metadata, job.notify) == (good["provider"], good["model"], "{}", ())
    assert msgspec.json.decode(job.input) == good["input"]


INPUTS = {
    "duplicate keys": b'{"a":1,"a":2}',
    "a long fraction": b'{"a":0.10000000000000000555}',
    "an exponent": b'{"a":1E+2,"b":10.0,"c":-0}',
    "beyond 64 bits": b'{"a":123456789012345678901234567890}',
    "escapes": b'{"a":"\\u0041\\/\\u00e9\\ud83c\\udfac\\u0000"}',
    "UTF-8": '{"a":"é🎬"}'.encode(),
    "white space": b'{ "b" : 1,\r\n\t"a":[ ] }',
    "nothing": b"{}",
}


@pytest.mark.parametrize("name", INPUTS)
def test_the_input_is_kept_byte_for_byte(name: str) -> None:
    body = b'{"provider":"fal", "model":"a/b", "input": %s , "metadata":{}}' % INPUTS[name]
    assert requests().read(body, None).input.encode() == INPUTS[name]


@pytest.mark.parametrize(
    "raw", [b'{"a":"\xff"}', b'{"a":"\xed\xa0\x80"}', b'{"a":"\\ud800"}', b'{"a":01}', b'{"a":1.}', b'{"a"}']
)
def test_an_input_that_is_not_valid_json_in_utf_8_is_refused(raw: bytes) -> None:
    with pytest.raises(Problem) as refused:
        requests().read(b'{"provider":"fal","model":"a/b","input":%s}' % raw, None)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b'{"a":{"b":[1,1e400]}}', "too large"),
        (b'{"a":-1e400}', "too large"),
        (b'{"a":%s}' % (b"9" * 5000), "integer that is too long"),
    ],
)
def test_a_number_that_json_readers_refuse_is_refused_in_its_field(raw: bytes, words: str) -> None:
    for field in ("input", "metadata"):
        body = {"provider": "fal", "model": "a/b", "input": msgspec.Raw(b"{}")} | {field: msgspec.Raw(raw)}
        with pytest.raises(Problem, match=words) as refused:
            requests().read(msgspec.json.encode(body), None)
        assert refused.value.status == 422
        assert [name for name, _ in refused.value.errors] == [field]


@pytest.mark.parametrize("raw", [b"[]", b'"x"', b"1", b"null", b"true"])
def test_an_input_that_is_not_an_object_is_refused(raw: bytes) -> None:
    with pytest.raises(Problem, match=r"input") as refused:
        requests().read(b'{"provider":"fal","model":"a/b","input":%s}' % raw, None)
    assert refused.value.status == 422


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"input": {}}, "input.source_face_url"),
        ({"input": FACES | {"target_video_url": "ftp://x/y"}}, "input.target_video_url"),
        ({"input": FACES | {"target_vido_url": "https://x.example/y"}}, "input.target_vido_url"),
        ({"input": FACES | {"enable_occlusion_prevention": "yes"}}, "input.enable_occlusion_prevention"),
        ({"model": "../x"}, "model"),
        ({"model": "half-moon-ai"}, "model"),
        (FACESWAP | {"input": {}}, "input.source_image_url"),
        (FACESWAP | {"model": "no such/type"}, "model"),
    ],
)
async def test_an_invalid_input_of_a_known_model_names_the_field(
    receiver: Receiver, change: dict[str, Any], field: str
) -> None:
    response = await receiver.http.post("/v1/jobs", json=VIDEO_SWAP | change)
    assert is_problem(response, 422)
    assert [error["field"] for error in response.json()["errors"]] == [field]
    assert field in response.json()["detail"]
    assert (await receiver.dump())["jobs"] == []


@pytest.mark.parametrize(
    "value",
    [2**63, -(2**64), 10**40, 1.5e308, "\x00", "🎬", [[[]]]],
    ids=["2**63", "-2**64", "10**40", "1.5e308", "NUL", "emoji", "nested"],
)
async def test_unusual_values_are_returned_unchanged(receiver: Receiver, value: object) -> None:
    response = await receiver.http.post("/v1/jobs", json=ANY | {"input": {"x": value}, "metadata": {"y": value}})
    assert response.status_code == 202
    job = (await receiver.http.get(response.headers["location"])).json()
    assert (job["input"], job["metadata"]) == ({"x": value}, {"y": value})


@pytest.mark.parametrize("depth", [50, 200, 400, 600, 800, 900, 950, 1000, 2000, 9000])
async def test_deep_nesting_is_accepted_or_refused_without_an_internal_error(receiver: Receiver, depth: int) -> None:
    nested = b'{"provider":"fal","model":"a/b","input":{"x":' + b"[" * depth + b"]" * depth + b"}}"
    response = await receiver.http.post("/v1/jobs", content=nested, headers=AS_JSON)
    assert response.status_code == 202 or response.json()["detail"] == "the body is nested too deeply"
    assert (await receiver.http.get("/v1/jobs")).status_code == 200


@unhurried
@given(st.binary(max_size=200))
def test_any_bytes_raise_a_problem(body: bytes) -> None:
    with pytest.raises(Problem):
        requests().read(body, None)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@unhurried
@given(
    st.sampled_from([VIDEO_SWAP, ANY, FACESWAP]),
    st.dictionaries(st.sampled_from(["provider", "model", "input", "metadata", "notify", "x"]), JSON, max_size=3),
)
def test_any_json_is_read_or_raises_a_problem(good: dict[str, Any], change: dict[str, Any]) -> None:
    with contextlib.suppress(Problem):
        msgspec.json.decode(read(good | change).input)


def test_a_provider_without_a_key_names_the_missing_setting() -> None:
    assert "FAL_KEY" in errors_of(ANY, providers=("heygen",))["provider"]
    assert "HEYGEN_API_KEY" in errors_of(FACESWAP, providers=("fal",))["provider"]


WRONG_URLS = {
    "no scheme": "u.example/hooks",
    "a file": "file:///etc/passwd",
    "another scheme": "ftp://u.example/",
    "no host": "https:///hooks",
    "a user": "https://me@u.example/",
    "a user and a password": "https://me:secret@u.example/",
    "a fragment": "https://u.example/#x",
    "a space": "https://u.example/a b",
    "a line break": "https://u.example/\nx",
    "not ASCII": "https://ü.example/",
    "no port number": "https://u.example:http/",
    "a port too high": "https://u.example:70000/",
    "no end of brackets": "https://[::1/",
    "too long": "https://u.example/" + "x" * 2048,
    "nothing": "",
    "loopback": "http://127.0.0.1:8000/",
    "loopback, v6": "http://[::1]/",
    "loopback, mapped": "http://[::ffff:127.0.0.1]/",
    "localhost": "http://localhost/",
    "localhost below": "http://a.localhost/",
    "private": "http://10.1.2.3/",
    "metadata": "http://169.254.169.254/latest/meta-data",
    "link-local with a zone": "http://[fe80::1%25eth0]/",
}


@pytest.mark.parametrize("name", WRONG_URLS)
def test_an_invalid_notify_url_is_refused_by_its_index(name: str) -> None:
    assert list(errors_of(ANY | {"notify": ["https://u.example/ok", WRONG_URLS[name]]})) == ["notify[1]"]


def test_a_repeated_notify_url_is_left_out() -> None:
    urls = ["https://u.example/a", "https://own.example/", "https://u.example/a", "https://u.example/b"]
    assert read(ANY | {"notify": urls}).notify == tuple(dict.fromkeys(urls))


def test_ten_notify_urls_are_accepted_and_eleven_are_refused() -> None:
    urls = [f"https://u.example/{number}" for number in range(11)]
    assert len(read(ANY | {"notify": urls[:10]}).notify) == 10
    assert "10 at most" in errors_of(ANY | {"notify": urls})["notify"]


def test_notify_without_notify_secret_names_the_setting() -> None:
    assert "NOTIFY_SECRET" in errors_of(ANY | {"notify": ["https://u.example/"]}, signing=False)["notify"]


def test_an_allowed_private_target_is_accepted() -> None:
    assert read(ANY | {"notify": ["http://10.1.2.3/"]}, targets=Targets(["10.0.0.0/8"])).notify


def test_metadata_has_a_limit() -> None:
    fits = {"x": "y" * (16_384 - len('{"x":""}'))}
    assert len(read(ANY | {"metadata": fits}).metadata) == 16_384
    assert "16384" in errors_of(ANY | {"metadata": {"x": fits["x"] + "y"}})["metadata"]


def test_every_error_is_reported_at_once() -> None:
    body = ANY | {"model": "x", "notify": ["ftp://x/"], "metadata": {"x": "y" * 20_000}}
    assert list(errors_of(body, providers=())) == ["provider", "model", "notify[0]", "metadata"]


async def test_a_refused_request_changes_nothing(make_receiver: MakeReceiver) -> None:
    receiver = make_receiver(NOTIFY_SECRET="")
    before = await receiver.dump()
    assert is_problem(await receiver.http.post("/v1/jobs", json=ANY | {"notify": ["https://u.example/"]}), 422)
    assert await receiver.dump() == before
    assert not receiver.emitted


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_content_types_that_need_no_preflight_request_are_refused(receiver: Receiver, kind: str | None) -> None:
    before = await receiver.dump()
    headers = {} if kind is None else {"content-type": kind}
    response = await receiver.http.post("/v1/jobs", content=msgspec.json.encode(ANY), headers=headers)
    assert is_problem(response, 415)
    assert await receiver.dump() == before
