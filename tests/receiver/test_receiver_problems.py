"""What goes wrong is told in one shape: RFC 9457."""

import msgspec

from receiver.web.problems import Problem, service_unavailable


def test_a_problem_is_a_body_with_status_title_and_what_would_be_right() -> None:
    response = Problem(422, "model: is wrong", errors=({"field": "model", "message": "is wrong"},)).response()
    assert response.status_code == 422
    assert response.headers["content-type"] == "application/problem+json"
    assert msgspec.json.decode(response.body) == {
        "type": "about:blank",
        "title": "The request cannot be carried out",
        "status": 422,
        "detail": "model: is wrong",
        "errors": [{"field": "model", "message": "is wrong"}],
    }


def test_a_problem_without_fields_lists_none_and_keeps_its_headers() -> None:
    response = Problem(405, "no", headers={"Allow": "POST"}).response()
    assert "errors" not in msgspec.json.decode(response.body)
    assert response.headers["allow"] == "POST"


def test_not_just_now_says_when_to_come_back() -> None:
    response = service_unavailable("the disk is full", retry_after=7).response()
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")
