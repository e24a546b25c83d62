"""The addresses: who may ask, what is not there, and one shape for everything that goes wrong."""

from collections.abc import Awaitable, Callable

import httpx
import pytest

from ledger.errors import Contradiction
from tests.receiver.conftest import MakeHouse
from tests.receiver.house import API_KEY, OLD_API_KEY, House, callback_body

GUARDED = [
    ("POST", "/v1/jobs"),
    ("GET", "/v1/jobs"),
    ("GET", "/v1/jobs/job_1"),
    ("GET", "/v1/jobs/job_1/events"),
    ("GET", "/v1/jobs/job_1/receipts"),
    ("GET", "/v1/deliveries"),
    ("GET", "/v1/deliveries/msg_1"),
    ("POST", "/v1/deliveries/msg_1/replay"),
    ("GET", "/metrics"),
]
WRONG = ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {API_KEY}", API_KEY, f"Bearer {API_KEY}x", "Bearer \xe9"]


Ask = Callable[[House, httpx.AsyncClient], Awaitable[httpx.Response]]


def is_problem(response: httpx.Response, status: int) -> bool:
    body = response.json()
    return (
        response.status_code == status == body["status"]
        and response.headers["content-type"] == "application/problem+json"
        and {"type", "title", "detail"} <= body.keys()
    )


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("authorization", [None, *WRONG])
async def test_without_a_key_nobody_is_let_in(house: House, method: str, path: str, authorization: str | None) -> None:
    del house.http.headers["authorization"]
    headers = {} if authorization is None else {"authorization": authorization.encode("latin-1")}
    response = await house.http.request(method, path, headers=headers)
    assert is_problem(response, 401)
    assert response.headers["www-authenticate"] == "Bearer"
    assert API_KEY not in response.text


@pytest.mark.parametrize("authorization", [f"Bearer {API_KEY}", f"Bearer {OLD_API_KEY}", f"bearer   {API_KEY} "])
async def test_each_of_several_keys_opens(house: House, authorization: str) -> None:
    response = await house.http.get("/v1/jobs", headers={"authorization": authorization})
    assert response.status_code == 200


async def test_every_v1_address_and_the_metrics_are_guarded(house: House) -> None:
    """A route added without a guard fails here, not in production."""
    del house.http.headers["authorization"]
    asked = 0
    for route in house.app._others.routes:  # type: ignore[attr-defined]  # what stands behind the callbacks is a Starlette
        path = route.path
        if path in {"/healthz", "/readyz"}:
            continue
        for method in route.methods - {"HEAD"}:
            response = await house.http.request(method, path.replace("{", "").replace("}", ""))
            assert response.status_code == 401, f"{method} {path}"
            asked += 1
    assert asked == len(GUARDED)


async def test_callbacks_and_health_need_no_key(house: House) -> None:
    del house.http.headers["authorization"]
    assert (await house.http.get("/healthz")).status_code == 200
    assert (await house.http.get("/readyz")).status_code == 200
    assert (await house.call_back(await house.story.submit())).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/jobs/", "/v1/jobs/a/b", "/v1/job", "/callbacks", "/callbacks/heygen/x", "/%00", "/é"]
)
async def test_what_is_not_there_is_a_problem_of_404(house: House, path: str) -> None:
    assert is_problem(await house.http.get(path), 404)


@pytest.mark.parametrize(
    "path",
    ["/callbacks/falx", "/callbacks/fal.", "/callbacks/fa", "/callbacks/FAL/x", "/callbacks//fal", "/xcallbacks/fal"],
)
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_what_only_looks_like_the_address_of_callbacks_is_none(house: House, method: str, path: str) -> None:
    body = callback_body()
    assert is_problem(await house.http.request(method, path, content=body, headers=house.fal.sign(body)), 404)
    assert not house.heard.named("callback.refused")


@pytest.mark.parametrize(
    ("method", "path"),
    [("DELETE", "/v1/jobs"), ("POST", "/v1/jobs/job_1"), ("POST", "/healthz"), ("PUT", "/metrics")],
)
async def test_a_wrong_method_is_a_problem_of_405_that_names_the_right_one(
    house: House, method: str, path: str
) -> None:
    response = await house.http.request(method, path)
    assert is_problem(response, 405)
    assert response.headers["allow"]


async def test_a_ledger_that_does_not_answer_is_503_with_a_time_to_come_back(house: House) -> None:
    await house.store.close()
    for response in (
        await house.http.get("/v1/jobs"),
        await house.http.post("/v1/jobs", json={"provider": "fal", "model": "a/b", "input": {}}),
    ):
        assert is_problem(response, 503)
        assert response.headers["retry-after"] == "1"
    assert house.counted("database.call_failed") == 2


async def ask_for_jobs(house: House, http: httpx.AsyncClient) -> httpx.Response:
    return await http.get("/v1/jobs", headers={"authorization": f"Bearer {API_KEY}"})


async def call_back(house: House, http: httpx.AsyncClient) -> httpx.Response:
    body = callback_body()
    return await http.post(f"/callbacks/fal/{house.tokens.sign('job_1')}", content=body, headers=house.fal.sign(body))


@pytest.mark.parametrize("ask", [ask_for_jobs, call_back])
async def test_a_mistake_of_ours_is_a_problem_of_500_that_tells_nothing_of_its_text(
    house: House, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    async def mistaken(*_: object) -> None:
        raise Contradiction("secret words")

    monkeypatch.setattr(house.store, "read", mistaken)
    monkeypatch.setattr(house.store, "write", mistaken)
    transport = httpx.ASGITransport(house.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://renderhook") as http:
        response = await ask(house, http)
    assert is_problem(response, 500)
    assert "Contradiction" in response.json()["detail"]
    assert "secret words" not in response.text
    with pytest.raises(Contradiction, match="secret words"):  # the server writes the traceback down
        await ask(house, house.http)


@pytest.mark.parametrize(
    ("host", "served"),
    [("localhost:8000", True), ("127.0.0.1:8000", True), ("[::1]", True), ("rebound.example", False)],
)
async def test_without_any_key_only_who_asks_for_this_machine_is_served(
    make_house: MakeHouse, host: str, served: bool
) -> None:
    """A web page can make its own name point at a laptop; the Host header still says whose page it was."""
    house = make_house(api_keys=())
    response = await house.http.get("/v1/jobs", headers={"host": host})
    assert response.status_code == (200 if served else 401)
