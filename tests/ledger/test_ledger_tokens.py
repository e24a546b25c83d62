"""A token names one job, is ours or is nothing, and survives a change of keys."""

import itsdangerous
import pytest

from ledger.tokens import CallbackTokens

OLD, NEW = "old-key-0123456789", "new-key-0123456789"


def test_what_was_signed_is_read_back() -> None:
    tokens = CallbackTokens([NEW])
    assert tokens.job_id(tokens.sign("job_abc")) == "job_abc"


def test_tokens_of_the_old_key_are_believed_and_new_ones_are_signed_with_the_new() -> None:
    both = CallbackTokens([NEW, OLD])
    assert both.job_id(CallbackTokens([OLD]).sign("job_abc")) == "job_abc"
    assert CallbackTokens([NEW]).job_id(both.sign("job_abc")) == "job_abc"
    assert CallbackTokens([OLD]).job_id(both.sign("job_abc")) is None


@pytest.mark.parametrize("token", ["", "job_abc", "job_abc.", ".", "job_abc.AAAA", "\x00", "jöb.x", "a" * 10_000])
def test_anything_else_names_nothing(token: str) -> None:
    assert CallbackTokens([NEW]).job_id(token) is None


def test_the_same_key_signing_for_another_purpose_makes_no_token() -> None:
    other = itsdangerous.Signer(NEW, salt="session").sign("job_abc").decode()
    assert CallbackTokens([NEW]).job_id(other) is None


def test_a_changed_job_id_is_not_believed() -> None:
    tokens = CallbackTokens([NEW])
    assert tokens.job_id(tokens.sign("job_abc").replace("abc", "abd")) is None
