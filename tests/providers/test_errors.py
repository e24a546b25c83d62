from providers.errors import InputRefused, Reason


def test_reasons_are_words_for_a_metric() -> None:
    assert all(reason.value == reason.name.lower() and reason.value.isidentifier() for reason in Reason)


def test_a_refused_input_has_field_and_message() -> None:
    error = InputRefused("a.b", "is wrong; give c")
    assert (error.field, error.message, str(error)) == ("a.b", "is wrong; give c", "a.b: is wrong; give c")
