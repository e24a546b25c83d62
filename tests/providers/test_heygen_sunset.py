import pytest

from providers.heygen.sunset import is_api_gone, sunset_warning
from providers.http import Response
from tests.providers.samples import response_with


@pytest.mark.parametrize(
    ("headers", "text"),
    [
        ({"deprecation": "true"}, "Deprecation: true"),
        ({"deprecation": "@1793404800"}, "Deprecation: @1793404800"),
        ({"sunset": "Sat, 31 Oct 2026 00:00:00 GMT"}, "Sunset: Sat, 31 Oct 2026 00:00:00 GMT"),
        ({"warning": '299 - "old API"'}, 'Warning: 299 - "old API"'),
    ],
)
def test_an_announced_end_is_a_warning_that_names_the_setting(headers: dict[str, str], text: str) -> None:
    warning = sunset_warning(Response(status=200, headers=headers, body=b'{"data":{}}')) or ""
    assert text in warning
    assert "HEYGEN_API_URL" in warning


@pytest.mark.parametrize("value", [{"message": "v1 is ending"}, "v1 is ending"])
def test_a_warning_in_the_body_is_a_warning(value: object) -> None:
    assert "v1 is ending" in (sunset_warning(response_with({"data": {}, "warning": value})) or "")


@pytest.mark.parametrize("headers", [{}, {"deprecation": "false"}, {"deprecation": "?0"}, {"sunset": ""}])
def test_without_an_announcement_there_is_no_warning(headers: dict[str, str]) -> None:
    assert sunset_warning(Response(status=200, headers=headers, body=b'{"data":{}}')) is None


@pytest.mark.parametrize(
    "body", [b"", b"<html>Not Found</html>", b'{"message":"no Route matched"}', b"404 page not found"]
)
@pytest.mark.parametrize("status", [404, 410])
def test_a_404_that_is_not_the_apis_own_means_that_it_is_gone(status: int, body: bytes) -> None:
    warning = sunset_warning(Response(status=status, body=body)) or ""
    assert str(status) in warning
    assert "HEYGEN_API_URL" in warning


@pytest.mark.parametrize(
    "body", [{"data": {"status": "not_found"}}, {"error": {"code": "avatar_not_found"}}, {"status": "not_found"}]
)
def test_an_api_that_does_not_know_an_execution_is_not_gone(body: object) -> None:
    assert not is_api_gone(response_with(body, status=404))
    assert sunset_warning(response_with(body, status=404)) is None
