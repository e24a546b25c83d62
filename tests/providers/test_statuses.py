import pytest

from providers.statuses import busy, may_hide_a_job, not_taken


@pytest.mark.parametrize("status", range(100, 600))
def test_no_status_is_both_a_definite_no_and_a_guess(status):
    assert not_taken(status) + may_hide_a_job(status) < 2
    if not_taken(status) or may_hide_a_job(status):
        assert busy(status)


@pytest.mark.parametrize("status", range(200, 400))
def test_an_answer_below_400_is_neither(status):
    assert not (not_taken(status))
    assert not (may_hide_a_job(status))
    assert not (busy(status))
