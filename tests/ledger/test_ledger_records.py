"""Fingerprints: which reports count as the same outcome."""

from urllib.parse import urlsplit, urlunsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.records import Fault, JobError, Outcome, Output

PLACE = "https://files.heygen.ai/a/o.mp4"


def completed(*urls: str) -> str:
    return Outcome.completed(tuple(Output(url=url) for url in urls)).fingerprint


@pytest.mark.parametrize("signed", ["", "?", "?sig=1", "?a=1&b=/x#y", "#", "#part", "#part?sig=1", "?#", "??", "##"])
def test_query_and_fragment_do_not_change_the_fingerprint(signed: str) -> None:
    assert completed(PLACE + signed) == completed(PLACE)


@pytest.mark.parametrize(
    "other", [PLACE + "/", PLACE + ";v=1", PLACE.upper(), PLACE.replace("a/o", "a%3Fo"), "http" + PLACE[5:]]
)
def test_every_other_part_of_a_url_changes_the_fingerprint(other: str) -> None:
    assert completed(other) != completed(PLACE)


@given(st.from_regex(r"https?://[a-z0-9.]*[a-z0-9](:[0-9]{1,4})?(/[!-~]*)?", fullmatch=True))
def test_urls_are_split_as_urllib_does(url: str) -> None:
    assert completed(url) == completed(urlunsplit(urlsplit(url)._replace(query="", fragment="")))


def test_the_number_of_outputs_changes_the_fingerprint_and_their_order_does_not() -> None:
    one, two = PLACE, PLACE + ".png"
    assert completed(one, two) == completed(two, one)
    assert len({completed(), completed(one), completed(two), completed(one, two)}) == 4


def test_the_state_changes_the_fingerprint_and_the_error_does_not() -> None:
    errors = [JobError(fault=Fault.PROVIDER, code=word, message=word) for word in ("a", "b")]
    failed, again = (Outcome.failed(error).fingerprint for error in errors)
    assert failed == again
    assert len({failed, Outcome.expired(errors[0]).fingerprint, Outcome.canceled().fingerprint, completed()}) == 4
