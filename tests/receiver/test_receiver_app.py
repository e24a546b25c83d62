"""Routes, API keys, and problem details for every error."""

from collections.abc import Awaitable, Callable

import httpx
import pytest
from starlette.routing import BaseRoute, Mount, Route

from ledger.errors import Contradiction, LedgerError, Unanswered, Unavailable
from receiver.web.app import App
from tests.receiver.harness import API_KEY, OLD_API_KEY, Receiver, callback_body

WRONG_KEYS = ["", "Bearer", "Bearer ", "Bearer wrong", f"Basic {API_KEY}", API_KEY, f"Bearer {API_KEY}x", "Bearer \xe9"]


Send = Callable[[Receiver, httpx.AsyncClient], Awaitable[httpx.Response]]


def is_problem(response: httpx.Response, status: int) -> bool:
    body = response.json()
    return (
        response.status_code == status == body["status"]
        and response.headers["content-type"] == "application/problem+json"
        and {"type", "title", "detail"} <= body.keys()
    )


def routes_of(app: App) -> list[tuple[str, str]]:
    """Every method and path that Starlette routes."""

    def walk(routes: list[BaseRoute], prefix: str) -> list[tuple[str, str]]:
        found = []
        for route in routes:
            if isinstance(route, Mount):
                found += walk(route.routes, prefix + route.path)
            else:
                assert isinstance(route, Route)
                methods = [method for method in ("GET", "POST") if hasattr(route.endpoint, method.lower())]
                found += [(method, prefix + route.path) for method in methods]
        return found

    return walk(app.routed.routes, "")


OPEN = {("GET", "/healthz"), ("GET", "/readyz")}


@pytest.mark.parametrize("authorization", [None, *WRONG_KEYS])
async def test_every_route_but_health_requires_an_api_key(receiver: Receiver, authorization: str | None) -> None:
    del receiver.http.headers["authorization"]
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    guarded = set(routes_of(receiver.app)) - OPEN
    assert len(guarded) >= 9
    for method, path in guarded:
        response = await receiver.http.request(method, path.replace("{", "").replace("}", ""), headers=headers)
        assert is_problem(response, 401), f"{method} {path}"
        assert response.headers["www-authenticate"] == "Bearer"
        assert API_KEY not in response.text


@pytest.mark.parametrize("authorization", [f"Bearer {API_KEY}", f"Bearer {OLD_API_KEY}", f"bearer   {API_KEY} "])
async def test_each_of_several_keys_is_accepted(receiver: Receiver, authorization: str) -> None:
    response = await receiver.http.get("/v1/jobs", headers={"authorization": authorization})
    assert response.status_code == 200


async def test_callbacks_and_health_need_no_key(receiver: Receiver) -> None:
    del receiver.http.headers["authorization"]
    assert (await receiver.http.get("/healthz")).status_code == 200
    assert (await receiver.http.get("/readyz")).status_code == 200
    assert (await receiver.call_back(await receiver.scenario.submit())).status_code == 200


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v1/jobs/", "/v1/jobs/a/b", "/v1/job", "/metrics/", "/%00", "/é"]
)
async def test_unknown_paths_get_404(receiver: Receiver, path: str) -> None:
    assert is_problem(await receiver.http.get(path), 404)


@pytest.mark.parametrize("path", ["/callbacks", "/xcallbacks/fal", "/Callbacks/fal/x", "//callbacks/fal/x"])
@pytest.mark.parametrize("method", ["POST", "GET"])
async def test_paths_that_resemble_callback_addresses_get_404(receiver: Receiver, method: str, path: str) -> None:
    body = callback_body()
    assert is_problem(await receiver.http.request(method, path, content=body, headers=receiver.fal.sign(body)), 404)
    assert not receiver.emitted.named("callback.refused")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/jobs", "GET, HEAD, POST"),
        ("POST", "/v1/jobs/job_1", "GET, HEAD"),
        ("GET", "/v1/deliveries/msg_1/replay", "POST"),
        ("POST", "/healthz", "GET, HEAD"),
        ("PUT", "/metrics", "GET, HEAD"),
        ("BREW", "/v1/jobs", "GET, HEAD, POST"),
    ],
)
async def test_a_wrong_method_gets_405_with_all_allowed_methods(
    receiver: Receiver, method: str, path: str, allowed: str
) -> None:
    response = await receiver.http.request(method, path)
    assert is_problem(response, 405)
    assert response.headers["allow"] == allowed


async def test_head_is_answered_as_get(receiver: Receiver) -> None:
    assert (await receiver.http.head("/v1/jobs")).status_code == 200


async def test_an_unavailable_database_gets_503_with_retry_after(receiver: Receiver) -> None:
    await receiver.store.close()
    for response in (
        await receiver.http.get("/v1/jobs"),
        await receiver.http.post("/v1/jobs", json={"provider": "fal", "model": "a/b", "input": {}}),
    ):
        assert is_problem(response, 503)
        assert response.headers["retry-after"] == "1"
        assert "nothing was changed" in response.json()["detail"]
    assert receiver.counted("database.call_failed") == 2


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (Unavailable("x"), "the database is not available; nothing was changed"),
        (
            Unanswered("x"),
            "the database did not confirm the change, which may have been made: check before you retry",
        ),
    ],
)
async def test_the_detail_says_whether_the_change_may_have_been_made(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, error: LedgerError, detail: str
) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(receiver.store, "write", fail)
    response = await receiver.http.post("/v1/jobs", json={"provider": "fal", "model": "a/b", "input": {}})
    assert is_problem(response, 503)
    assert response.json()["detail"] == detail


async def list_jobs(receiver: Receiver, http: httpx.AsyncClient) -> httpx.Response:
    return await http.get("/v1/jobs", headers={"authorization": f"Bearer {API_KEY}"})


async def call_back(receiver: Receiver, http: httpx.AsyncClient) -> httpx.Response:
    body = callback_body()
    return await http.post(
        f"/callbacks/fal/{receiver.tokens.sign('job_1')}", content=body, headers=receiver.fal.sign(body)
    )


@pytest.mark.parametrize("send", [list_jobs, call_back])
async def test_an_unforeseen_exception_gets_500_without_its_message(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, send: Send
) -> None:
    async def fail(*_: object) -> None:
        raise Contradiction("secret words")

    monkeypatch.setattr(receiver.store, "read", fail)
    monkeypatch.setattr(receiver.store, "write", fail)
    transport = httpx.ASGITransport(receiver.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://renderhook") as http:
        response = await send(receiver, http)
    assert is_problem(response, 500)
    assert "Contradiction" in response.json()["detail"]
    assert "secret words" not in response.text
    with pytest.raises(Contradiction, match="secret words"):  # the server logs the traceback
        await send(receiver, receiver.http)
