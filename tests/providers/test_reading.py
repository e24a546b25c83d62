import pytest

from providers.errors import Malformed
from providers.http import UNREADABLE, Response
from providers.reading import read_code, read_count, read_id, read_json, read_retry_after, read_text
from providers.urls import read_http_url, read_url_of_origin


@pytest.mark.parametrize("body", [b"", b"{", b"{} x", b"<html>", b"[1}", b'["a', b"[" * 300_000 + b"]" * 300_000])
def test_a_body_that_is_not_json_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_json(body)
    assert Response(status=200, body=body).json is UNREADABLE
    assert Response(status=200, body=body).fields == {}


def test_only_a_json_object_has_fields() -> None:
    assert Response(status=200, body=b'{"a":1}').fields == {"a": 1}
    response = Response(status=200, body=b"[]")
    assert (response.json, response.fields) == ([], {})


def test_a_body_is_decoded_once() -> None:
    response = Response(status=200, body=b"[{}]")
    assert response.json is response.json


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("7", 7),
        (" 7 ", 7),
        ("1.5", 1.5),
        ("999999", 86_400),
        ("-1", None),
        ("", None),
        ("nan", None),
        ("inf", None),
        ("1e3", None),
        ("٣", None),
        ("9" * 400, None),
        ("Fri, 20 Nov 2026 20:00:00 GMT", None),
    ],
)
def test_retry_after_is_seconds_within_a_day(text: str, seconds: float | None) -> None:
    assert read_retry_after({"retry-after": text}) == seconds
    assert read_retry_after({}) is None


@pytest.mark.parametrize("value", ["", ".", "..", "a b", "a\n", "é", "x" * 201, 7, None])
def test_an_id_is_one_visible_word(value: object) -> None:
    assert read_id(value) is None
    assert read_id("a.b|c/d") == "a.b|c/d"


@pytest.mark.parametrize(
    ("value", "code"), [(400664, "400664"), ("a_b", "a_b"), (True, None), ("a b", None), ("", None), (10**12, None)]
)
def test_a_code_is_a_word_or_a_number(value: object, code: str | None) -> None:
    assert read_code(value) == code


@pytest.mark.parametrize(
    ("value", "count"),
    [
        (0, 0),
        (2**53, 2**53),
        (2**53 + 1, None),
        (-1, None),
        (True, None),
        (2.0, 2),
        (float("inf"), None),
        (float("nan"), None),
        ("1", None),
    ],
)
def test_a_count_is_a_whole_number_that_both_databases_can_store(value: object, count: int | None) -> None:
    assert read_count(value) == count


def test_text_is_one_clean_line_of_bounded_length() -> None:
    assert read_text("  a\x00\n\tb\ud800 ") == "a b"
    assert read_text("x" * 11, 10) == "x" * 9 + "…"
    assert [read_text(value) for value in ("", "\n", None, 7)] == [None] * 4


@pytest.mark.parametrize("base_url", ["https://q.example", "https://q.example:443/", "https://Q.example/base"])
def test_a_url_of_the_same_origin_is_followed(base_url: str) -> None:
    assert read_url_of_origin("https://q.example/requests/R", base_url) == "https://q.example/requests/R"


@pytest.mark.parametrize(
    "url",
    [
        "http://q.example/R",
        "https://q.example:444/R",
        "https://q.example.evil.example/R",
        "https://evil.example/R",
        "https://q.example@evil.example/R",
        "https://evil.example\\@q.example/R",
        "https://q.example\\.evil.example/R",
        "https://user:pw@q.example/R",
        "https://q.example/a b",
        "https://q.example/\\evil.example",
        "//q.example/R",
        "/R",
        "https://q.example:bad/R",
        "https://[q.example/R",
        "",
        None,
        7,
    ],
)
def test_a_url_of_another_origin_is_not_followed(url: object) -> None:
    assert read_url_of_origin(url, "https://q.example") is None


def test_an_invalid_base_url_has_no_urls() -> None:
    assert read_url_of_origin("https://q.example/R", "q.example") is None


def test_a_url_has_at_most_8192_characters() -> None:
    start = "https://a.example/"
    assert read_http_url(start + "x" * (8192 - len(start))) is not None
    assert read_http_url(start + "x" * (8193 - len(start))) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Thu, 01 Jan 2026 00:00:30 GMT", 30),
        ("Thu, 01 Jan 2026 00:00:30 -0000", 30),
        ("Thu, 01 Jan 2026 01:00:30 +0100", 30),
        ("Wed, 31 Dec 2025 23:59:59 GMT", 0),
        ("Thu, 01 Jan 2037 00:00:00 GMT", 86_400),
        ("Thu, 01 Jan 99999 00:00:00 GMT", None),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_may_be_a_date_when_the_time_is_given(text: str, seconds: float | None) -> None:
    assert read_retry_after({"retry-after": text}, 1_767_225_600_000) == seconds
