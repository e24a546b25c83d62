"""The scanner reads what strict decoders refuse, keeps what matters of very many values, and bounds time and memory."""

import json
import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers import json_scanner
from providers.errors import Malformed
from providers.find_files import find_files
from providers.json_scanner import KEPT_URLS, MOST_LEVELS, LeftOut, scan_json
from tests.providers.test_any_bytes import trees, unhurried
from tests.providers.written_json import values, writers


@unhurried
@given(trees, st.sampled_from([None, 1]))
def test_strict_json_is_read_as_a_strict_decoder_reads_it(tree: object, indent: int | None) -> None:
    text = json.dumps(tree, indent=indent).encode()
    assert scan_json(text) == json.loads(text)


@unhurried
@given(values, writers)
def test_json_of_any_writer_is_read(tree: object, write: Any) -> None:
    body = write({"a": tree})
    assert len(scan_json(body)) == 1


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"\xef\xbb\xbf[1]", [1]),
        ("[1]".encode("utf-16"), [1]),
        ('["é"]'.encode("utf-32-le"), ["é"]),
        (b'"\\ud800a"', "\ud800a"),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
        (b'"a\x01\n"', "a\x01\n"),
        (b'"\\x41"', "\\x41"),
        (b'"a\\\\"', "a\\"),
        (b'"\\\\\\""', '\\"'),
        (b"[1e400, -Infinity, 1E5, -0.5]", [math.inf, -math.inf, 100000.0, -0.5]),
        (b"9007199254740993", 9007199254740993),
        (b'{"a":1,"a":2}', {"a": 2}),
        (b" \n[ ]\t", []),
    ],
)
def test_what_strict_decoders_refuse_is_read(body: bytes, value: object) -> None:
    assert scan_json(body) == value


def test_nan_and_very_long_numbers_are_numbers() -> None:
    nan, long, words = scan_json(b"[NaN, " + b"1" * 200_000 + b', ["' + b"a" * 3_000_000 + b'\\n"]]')
    assert math.isnan(nan)
    assert long == math.inf
    assert words == ["a" * 3_000_000 + "\n"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html><body>Not found</body></html>",
        b"upstream error",
        b"[1",
        b"]",
        b"[1}",
        b'"abc',
        b'["a\\',
        b'{"a"',
        b"{1:2}",
        b"{[]:1}",
        b"1 2",
        b"{}{}",
        b"nothing",
        b'["' + b"a" * 200_000,
        b"[" * (MOST_LEVELS + 1),
    ],
)
def test_what_is_not_one_json_value_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        scan_json(body)


def test_more_values_than_are_read_are_malformed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_scanner, "MOST_TOKENS", 100)
    with pytest.raises(Malformed, match="more than 100 values"):
        scan_json(b"[" + b"1," * 100 + b"1]")


NO_HTTP_URLS = ["DATA:image/png;base64,AAAA", "http:x", "data"]
urls = st.sampled_from([f"https://a.example/{n}.png" for n in range(9)] + NO_HTTP_URLS)
names = st.sampled_from(["url", "image", "x", "output", "status_url"]) | st.text(max_size=3)
with_urls = st.recursive(
    st.integers() | st.text(max_size=6) | urls | st.none(),
    lambda kids: st.lists(kids, max_size=5) | st.dictionaries(names, kids, max_size=5),
    max_leaves=60,
)


@unhurried
@given(with_urls)
def test_no_file_is_lost_when_other_values_are_left_out(tree: object) -> None:
    body = json.dumps([tree], ensure_ascii=False).encode("utf-8", "surrogatepass")
    expected = find_files(json.loads(body), ("url",))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scanner, "KEPT_TOKENS", -1)
        assert find_files(scan_json(body), ("url",)) == expected


@unhurried
@given(with_urls)
def test_urls_that_are_left_out_are_counted(tree: object) -> None:
    body = json.dumps([tree], ensure_ascii=False).encode("utf-8", "surrogatepass")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_scanner, "KEPT_TOKENS", -1)
        whole = count_urls(scan_json(body))
        patch.setattr(json_scanner, "KEPT_URLS", 3)
        kept, left_out = count_urls(scan_json(body))
    assert kept == min(3, whole[0])
    assert kept + left_out >= whole[0]  # a name that begins as a URL does may be counted too


def count_urls(value: object) -> tuple[int, int]:
    """Return how many texts begin as a URL does, and how many were left out."""
    if isinstance(value, LeftOut):
        return 0, value.urls
    if isinstance(value, str):
        return int(value.lower().lstrip().startswith(("http:", "https:", "data:"))), 0
    children = value if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    pairs = [count_urls(child) for child in children]
    return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)


@pytest.mark.parametrize(
    "element",
    [
        b"1e300",
        b"-1.5E-7",
        b"[]",
        b"{}",
        b"[[[1]]]",
        b'[[[["a"]]]]',
        b'{"a":{"b":[1,"x"]}}',
        b'"text \\" more"',
        b'"\\\\"',
    ],
)
def test_a_file_and_the_rest_of_a_callback_are_found_after_a_million_values(element: bytes) -> None:
    many = b",".join([element] * (2_000_000 // len(element)))
    end = b',{"url":"https://a.example/1","width":7}],"request_id":"R","status":"OK"}'
    read = scan_json(b'{"payload":[' + many + end)
    assert (read["request_id"], read["status"]) == ("R", "OK")
    (output,) = find_files(read["payload"], ("url",)).outputs
    assert (output.url, output.width) == ("https://a.example/1", 7)
    assert len(read["payload"]) < 200_000


def test_an_error_after_a_million_values_is_kept() -> None:
    many = b'{"data":{"output":[' + b"1," * 1_000_000 + b'1],"error":{"code":"c","message":"m"}},"status":"failed"}'
    read = scan_json(many)
    assert read["data"]["error"] == {"code": "c", "message": "m"}
    assert read["status"] == "failed"


def test_very_many_urls_are_counted() -> None:
    number = 150_000
    body = msgspec.json.encode(
        {"a": [{"url": f"https://a.example/{n}"} for n in range(number)], "b": "https://a.example/b"}
    )
    files = find_files(scan_json(body), ("url",))
    assert len(files.outputs) + files.beyond == number + 1
    assert len(files.outputs) < KEPT_URLS < number


def test_very_many_fields_are_read_without_most_of_them() -> None:
    fields = b",".join(b'"k%d":{"x":"%d"}' % (n, n) for n in range(200_000))
    read = scan_json(b'{"p":{' + fields + b',"video":{"url":"https://a.example/1"}},"status":"OK"}')
    assert len(read["p"]) < 60_000
    assert read["p"]["video"] == {"url": "https://a.example/1"}
    assert read["status"] == "OK"
