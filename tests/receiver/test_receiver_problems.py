"""Problem details: RFC 9457."""

from http import HTTPStatus

import msgspec

from receiver.web.problems import Problem, service_unavailable


def test_a_problem_has_status_title_detail_and_errors() -> None:
    response = Problem(422, "model: is wrong", errors=[("model", "is wrong")]).response()
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert msgspec.json.decode(response.body) == {
        "type": "about:blank",
        "title": HTTPStatus(422).phrase,
        "status": 422,
        "detail": "model: is wrong",
        "errors": [{"field": "model", "message": "is wrong"}],
    }


def test_a_problem_without_errors_leaves_them_out_and_keeps_its_headers() -> None:
    response = Problem(405, "no", headers={"Allow": "POST"}).response()
    assert "errors" not in msgspec.json.decode(response.body)
    assert response.headers["allow"] == "POST"


def test_service_unavailable_has_retry_after() -> None:
    response = service_unavailable("the disk is full", retry_after=7).response()
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
