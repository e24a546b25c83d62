"""Query parameters: declared by a Struct, and refused by name when unknown, repeated or invalid."""

from typing import Annotated

import msgspec
import pytest
from starlette.requests import Request

from receiver.api.paging import Paging, cut_page
from receiver.views.pages import JobsPage
from receiver.web.problems import Problem
from receiver.web.queries import NoParameters, read_query
from tests.receiver.harness import Receiver
from tests.receiver.test_receiver_app import is_problem


class Sample(Paging, frozen=True, kw_only=True):
    number: Annotated[int, msgspec.Meta(ge=0, description="a number")] = 7
    word: Annotated[str | None, msgspec.Meta(description="a word")] = None


def request(query: str) -> Request:
    return Request({"type": "http", "path": "/v1/things", "query_string": query.encode(), "headers": []})


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", Sample()),
        ("limit=&cursor=&word=&number=", Sample()),
        ("limit=200&cursor=job_1", Sample(limit=200, cursor="job_1")),
        ("number=0&word=a%20b", Sample(number=0, word="a b")),
        ("word=12", Sample(word="12")),
    ],
)
def test_parameters_are_read_as_the_struct_declares_them(query: str, expected: Sample) -> None:
    assert read_query(request(query), Sample) == expected


@pytest.mark.parametrize(
    ("query", "name", "message"),
    [
        ("page=2", "page", "is not a query parameter of /v1/things; allowed are limit, cursor, number, word"),
        ("Limit=2", "Limit", "is not a query parameter of /v1/things; allowed are limit, cursor, number, word"),
        ("page=", "page", "is not a query parameter of /v1/things; allowed are limit, cursor, number, word"),
        ("limit=2&limit=3", "limit", "is given twice; once is allowed"),
        ("limit=201", "limit", "must be a whole number from 1 to 200, not '201'"),
        ("number=-1", "number", "must be a number, not '-1'"),
        ("number=1e2", "number", "must be a number, not '1e2'"),
        ("number=+1", "number", "must be a number, not ' 1'"),
    ],
)
def test_unknown_repeated_and_invalid_parameters_are_refused_by_name(query: str, name: str, message: str) -> None:
    with pytest.raises(Problem) as refused:
        read_query(request(query), Sample)
    assert (refused.value.status, refused.value.detail) == (400, f"{name} {message}")
    assert list(refused.value.errors) == [(name, message)]


def test_an_address_without_parameters_says_so() -> None:
    with pytest.raises(Problem, match="none is allowed here"):
        read_query(request("a=1"), NoParameters)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/jobs"),
        ("POST", "/v1/jobs"),
        ("GET", "/v1/jobs/job_1"),
        ("GET", "/v1/jobs/job_1/events"),
        ("GET", "/v1/jobs/job_1/receipts"),
        ("GET", "/v1/deliveries"),
        ("GET", "/v1/deliveries/msg_1"),
        ("POST", "/v1/deliveries/msg_1/replay"),
    ],
)
async def test_every_route_refuses_unknown_parameters(receiver: Receiver, method: str, path: str) -> None:
    response = await receiver.http.request(method, f"{path}?colour=red")
    assert is_problem(response, 400)
    assert response.json()["detail"].startswith(f"colour is not a query parameter of {path}; ")


@pytest.mark.parametrize(("found", "page", "cursor"), [("", "", None), ("ab", "ab", None), ("abc", "ab", "b")])
def test_a_page_is_cut_from_one_row_more_than_its_limit(found: str, page: str, cursor: str | None) -> None:
    class Row(msgspec.Struct):
        id: str

    rows, next_cursor = cut_page([Row(each) for each in found], 2)
    assert ("".join(row.id for row in rows), next_cursor) == (page, cursor)


def test_an_empty_list_is_an_empty_page() -> None:
    assert msgspec.json.encode(JobsPage(jobs=(), next_cursor=None)) == b'{"jobs":[],"next_cursor":null}'
