"""The fast paths for common values give what the general path gives."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from providers.reading import _normalize, read_text
from providers.urls import _PLAIN, LONGEST_URL, parse_http_url, read_http_url

urls = (
    st.from_regex(_PLAIN, fullmatch=True)
    | st.from_regex(r"https?://[a-z0-9.:@\[\]%-]{0,20}([/?#][ -~]{0,20})?", fullmatch=True)
    | st.text(st.characters(codec="utf-8"), max_size=30).map("https://a.example/".__add__)
    | st.text(max_size=30)
)


@given(st.from_regex(_PLAIN, fullmatch=True))
@example("https://a/[")
@example("https://a//b@c:d/e")
@example("http://-")
@example("https://xn--a.example/?a=https://[::1")
def test_a_plain_url_is_valid(url: str) -> None:
    parts = parse_http_url(url)
    assert parts is not None
    assert (parts.username, parts.password, parts.port) == (None, None, None)
    assert parts.hostname == url.partition("://")[2].partition("/")[0]


@given(urls)
@example("https://a.example/\n")
@example("https://a.example\n")
@example("https://a.example/" + "x" * LONGEST_URL)
@example("https://.")
@example("https:///a")
def test_a_url_is_read_as_the_general_path_reads_it(url: str) -> None:
    assert read_http_url(url) == (url if parse_http_url(url) is not None else None)


@pytest.mark.parametrize(
    "url", ["https://v3b.fal.media/files/b/a/c_d.mp4", "http://files.heygen.ai/o.mp4?Expires=1&Signature=a~b__"]
)
def test_the_urls_of_providers_are_plain(url: str) -> None:
    assert _PLAIN.fullmatch(url)


spaces = st.text(st.sampled_from(" \t\n\r\x1c\x85\xa0\u2003\u2028\u3000\x00\x7f\u200b\ud800ab\u00e9"), max_size=12)


@given(st.text(max_size=40) | spaces, st.integers(1, 12))
@example("", 1)
@example(" ", 1)
@example("a  b", 9)
@example(" a b ", 9)
@example("a\u3000b", 9)
@example("ab ", 2)
def test_text_is_read_as_the_general_path_reads_it(text: str, limit: int) -> None:
    assert read_text(text, limit) == _normalize(text, limit)
