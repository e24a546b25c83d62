from providers.errors import InputRefused, NoKeyMatches, Reason


def test_no_key_matches_has_its_reason() -> None:
    assert NoKeyMatches().reason is Reason.NO_KEY_MATCHES


def test_reasons_are_words_for_a_metric() -> None:
    assert all(reason.value == reason.name.lower() and reason.value.isidentifier() for reason in Reason)


def test_a_refused_input_has_field_and_message() -> None:
    error = InputRefused("a.b", "is wrong; give c")
    assert (error.field, error.message, str(error)) == ("a.b", "is wrong; give c", "a.b: is wrong; give c")
