from pathlib import Path

import pytest

from providers import errors as refusals
from providers.errors import InputRefused, Malformed, NoKeyMatches, ProviderError, Reason, Unverified


@pytest.mark.parametrize("kind", [Unverified, NoKeyMatches, Malformed, InputRefused])
def test_everything_raised_is_a_provider_error(kind):
    assert issubclass(kind, ProviderError)
    assert kind.__name__ in (refusals.__doc__ or "")


def test_no_key_matches_is_unverified_so_that_one_except_catches_both():
    assert NoKeyMatches().reason is Reason.NO_KEY_MATCHES
    assert isinstance(NoKeyMatches(), Unverified)


def test_reasons_are_words_for_a_metric():
    assert all(reason.value == reason.name.lower() and reason.value.isidentifier() for reason in Reason)


def test_every_reason_is_tried_where_callbacks_are_tested():
    tried = (Path(__file__).parent / "test_fal_callbacks.py").read_text()
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in tried] == []


def test_a_refused_input_tells_field_and_message():
    error = InputRefused("a.b", "is wrong; give c")
    assert (error.field, error.message, str(error)) == ("a.b", "is wrong; give c", "a.b: is wrong; give c")
