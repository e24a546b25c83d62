import pytest

from providers.heygen.sunset import api_gone, sunset_warning
from providers.http import Response


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"deprecation": "true"}, "Deprecation: true"),
        ({"deprecation": "@1793404800"}, "Deprecation: @1793404800"),
        ({"sunset": "Sat, 31 Oct 2026 00:00:00 GMT"}, "Sunset: Sat, 31 Oct 2026 00:00:00 GMT"),
        ({"warning": '299 - "old API"'}, 'Warning: 299 - "old API"'),
    ],
)
def test_an_announced_end_is_told_with_the_setting(headers, said):
    warning = sunset_warning(Response(status=200, headers=headers, body=b'{"data":{}}'))
    assert said in warning
    assert "HEYGEN_API_URL" in warning


@pytest.mark.parametrize("told", [{"message": "v1 is ending"}, "v1 is ending"])
def test_a_warning_in_the_body_counts_too(told, answer_with):
    assert "v1 is ending" in sunset_warning(answer_with({"data": {}, "warning": told}))


@pytest.mark.parametrize("headers", [{}, {"deprecation": "false"}, {"deprecation": "?0"}, {"sunset": ""}])
def test_silence_is_no_warning(headers):
    assert sunset_warning(Response(status=200, headers=headers, body=b'{"data":{}}')) is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>Not Found</html>", b'{"message":"no Route matched"}', b"404 page not found"]
)
@pytest.mark.parametrize("status", [404, 410])
def test_a_page_where_the_api_was_means_that_it_is_gone(status, body):
    warning = sunset_warning(Response(status=status, body=body))
    assert str(status) in warning
    assert "HEYGEN_API_URL" in warning


@pytest.mark.parametrize(
    "told", [{"data": {"status": "not_found"}}, {"error": {"code": "avatar_not_found"}}, {"status": "not_found"}]
)
def test_an_api_that_lacks_the_thing_asked_for_is_not_gone(told, answer_with):
    assert not api_gone(answer_with(told, status=404))
    assert sunset_warning(answer_with(told, status=404)) is None
