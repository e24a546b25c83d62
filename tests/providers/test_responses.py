from providers.responses import is_own_failure, is_rejected_for_now, is_temporary, may_have_taken_job


def test_a_status_means_that_the_job_was_not_taken_or_that_it_may_have_been_but_not_both() -> None:
    for status in range(100, 600):
        rejected, unknown = is_rejected_for_now(status), may_have_taken_job(status)
        assert not (rejected and unknown), status
        assert is_temporary(status) or not (rejected or unknown), status
        assert rejected or not is_own_failure(status), status


def test_success_and_redirects_are_no_temporary_errors() -> None:
    for status in range(200, 400):
        assert not is_rejected_for_now(status), status
        assert not may_have_taken_job(status), status
        assert not is_temporary(status), status
