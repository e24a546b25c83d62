"""The readers of settings: what each accepts, what it refuses, and that the error says what would be right."""

import base64
import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from settings import readers as values
from settings.urls import LONGEST_URL, parse_http_url

unhurried = settings(deadline=None)  # a busy machine is not a failure


def whsec(length: int) -> str:
    return "whsec_" + base64.b64encode(b"n" * length).decode()


count = values.count_between(1, 100)
log_level = values.one_of("debug", "info", "warning", "error")

ACCEPTED: list[tuple[Callable[[str], object], str, object]] = [
    (values.read_text, "any text é", "any text é"),
    (values.read_url, "https://x.example", "https://x.example"),
    (values.read_base_url, "http://127.0.0.1:8000/base/", "http://127.0.0.1:8000/base"),
    (values.read_url, "http://[::1]:8000", "http://[::1]:8000"),
    (count, "1", 1),
    (count, "100", 100),
    (count, "007", 7),
    (values.read_seconds, "0.5", 0.5),
    (values.read_seconds, "2592000", 2_592_000.0),
    (values.read_seconds, "0.05", 0.05),
    (values.read_keys, "k" * 16, ("k" * 16,)),
    (values.read_keys, f"{'n' * 16}, {'o' * 20},", ("n" * 16, "o" * 20)),
    (values.read_secrets, whsec(24), (b"n" * 24,)),
    (values.read_secrets, f"{whsec(64)} , {whsec(32)}", (b"n" * 64, b"n" * 32)),
    (values.read_secrets, whsec(32).removeprefix("whsec_"), (b"n" * 32,)),
    (values.read_secrets, whsec(32).rstrip("="), (b"n" * 32,)),  # without padding
    (
        values.read_targets,
        "Inside.example, 10.0.0.0/8,fd00::/8,127.0.0.1",
        ("inside.example", "10.0.0.0/8", "fd00::/8", "127.0.0.1"),
    ),
    (values.read_resubmit, "never", "never"),
    (values.read_resubmit, "after:90", 90_000),
    (log_level, "WARNING", "warning"),
    (values.read_switch, "1", True),
    (values.read_switch, "0", False),
    (values.read_path, "/v1/things", "/v1/things"),
    (values.read_token, "key:secret", "key:secret"),
]


@pytest.mark.parametrize(("read", "text", "value"), ACCEPTED)
def test_valid_text_is_read_as_its_value(read: Callable[[str], object], text: str, value: object) -> None:
    assert read(text) == value


REFUSED: list[tuple[Callable[[str], object], list[str], str]] = [
    (values.read_text, ["a\nb", "a\x00", "a\x1b[0m"], "one line of printable characters"),
    (
        values.read_url,
        ["x.example", "ftp://x.example", "https://", "//x.example", "https://*.example"],
        "an absolute http or https URL, such as https://example.com",
    ),
    (values.read_url, ["https://me@x.example", "https://x.example/#top"], "without user, password and fragment"),
    (values.read_url, ["https://x.example:http", "https://x.example:70000", "https://[x"], "host or port"),
    (
        values.read_url,
        ["https://x.example/a b", "https://é.example", "https://x/\n", "https://x/" + "x" * 2048],
        "ASCII",
    ),
    (values.read_base_url, ["https://x.example?a=b"], "without a query"),
    (values.read_path, ["x", "/", "/a/", "/a b", "/a?b"], "must be a path"),
    (values.read_token, ["", "a b", "é", "a\x00"], "visible ASCII"),
    (count, ["0", "101", "-1", "1.0", "x", "1e2", " 1", "9" * 13, "\u0661"], "a whole number from 1 to 100"),
    (
        values.read_seconds,
        ["0", "0.0", "-1", "2592001", "2592000.1", "1e3", "nan", "inf", ".5", "1.0000001", "9999999"],
        "a number of seconds from 0.05 to 2592000",
    ),
    (values.read_keys, ["k" * 15, f"{'k' * 16},short", ",", " , "], "at least 16 characters"),
    (
        values.read_secrets,
        [whsec(23), whsec(65), "whsec_", "whsec_???", f"{whsec(32)},x"],
        "whsec_ and the base64 of 24",
    ),
    (values.read_targets, ["10.0.0.1/8", "10.0.0.0/33", "x/y"], "10.0.0|x/y"),
    (values.read_targets, ["inside example", "*", "é.example", "x" * 254], "host names, addresses or networks"),
    (
        values.read_resubmit,
        ["always", "after:", "after:x", "after:-1", "after:1.5", "60", "after:12345678"],
        "never or after:",
    ),
    (values.read_switch, ["yes", "2"], "1 or 0"),
    (log_level, ["loud", "warn", "critical"], "debug or info or warning or error"),
]


@pytest.mark.parametrize(
    ("read", "text", "words"), [(read, text, words) for read, texts, words in REFUSED for text in texts]
)
def test_invalid_text_is_refused_with_what_would_be_right(read: Callable[[str], object], text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        read(text)


@unhurried
@given(st.text())
@pytest.mark.parametrize("read", [row[0] for row in REFUSED] + [values.read_text])
def test_any_text_is_read_or_raises_value_error(read: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(ValueError):
        read(text)


@pytest.mark.parametrize(
    "url", ["https://user:the-password@x.example", "https://x.example:the-password", "ftp://the-password"]
)
def test_the_error_about_a_url_does_not_repeat_it(url: str) -> None:
    with pytest.raises(ValueError, match="must be") as refused:
        parse_http_url(url)
    assert "the-password" not in str(refused.value)


def test_a_url_may_be_as_long_as_the_limit() -> None:
    assert parse_http_url("https://x.example/".ljust(LONGEST_URL, "x")).hostname == "x.example"
