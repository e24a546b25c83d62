"""A token names one job, is accepted only if we signed it, and survives a rotation of keys."""

import hashlib
from collections.abc import Sequence

import itsdangerous
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.callback_tokens import CallbackTokens

OLD, NEW = "old-key-0123456789", "new-key-0123456789"


def test_a_signed_job_id_is_read_back() -> None:
    tokens = CallbackTokens([NEW])
    assert tokens.job_id(tokens.sign("job_abc")) == "job_abc"


def test_tokens_of_the_old_key_are_accepted_and_the_new_key_signs() -> None:
    both = CallbackTokens([NEW, OLD])
    assert both.job_id(CallbackTokens([OLD]).sign("job_abc")) == "job_abc"
    assert CallbackTokens([NEW]).job_id(both.sign("job_abc")) == "job_abc"
    assert CallbackTokens([OLD]).job_id(both.sign("job_abc")) is None


def by_itsdangerous(keys: Sequence[str], job_id: str) -> str:
    newest_last = [key.encode() for key in reversed(keys)]
    signer = itsdangerous.Signer(
        newest_last, salt="renderhook.callback-token.v1", key_derivation="hmac", digest_method=hashlib.sha256
    )
    return signer.sign(job_id).decode()


KEYS = st.lists(st.text(st.characters(codec="utf-8"), min_size=1), min_size=1, max_size=3)


@given(KEYS, st.from_regex(r"[a-z0-9_]+", fullmatch=True))
def test_a_token_is_byte_for_byte_what_itsdangerous_makes(keys: list[str], job_id: str) -> None:
    """Callbacks may come a day later: tokens made by another implementation must still be accepted."""
    tokens = CallbackTokens(keys)
    assert tokens.sign(job_id) == by_itsdangerous(keys, job_id)
    for key in keys:
        assert tokens.job_id(by_itsdangerous([key], job_id)) == job_id


def test_tokens_have_not_changed_since_the_first_release() -> None:
    token = "job_abc.XYVIJVqIkuEoT_NITPRWoedr3ZpBoAEWCrxZpH_VzHA"
    assert CallbackTokens([NEW, OLD]).sign("job_abc") == token
    assert CallbackTokens([OLD, NEW]).job_id(token) == "job_abc"


@pytest.mark.parametrize("token", ["", "job_abc", "job_abc.", ".", "job_abc.AAAA", "\x00", "jöb.x", "a" * 10_000])
def test_any_other_token_is_refused(token: str) -> None:
    assert CallbackTokens([NEW]).job_id(token) is None


def test_a_signature_with_the_same_key_for_another_purpose_is_no_token() -> None:
    other = itsdangerous.Signer(NEW, salt="session").sign("job_abc").decode()
    assert CallbackTokens([NEW]).job_id(other) is None


def test_a_changed_job_id_is_refused() -> None:
    tokens = CallbackTokens([NEW])
    assert tokens.job_id(tokens.sign("job_abc").replace("abc", "abd")) is None
