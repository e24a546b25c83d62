"""Who may use the API: the holders of a key, or without any key a program of the same machine."""

import httpx
import pytest

from tests.receiver.conftest import MakeReceiver
from tests.receiver.harness import Receiver

PEER = "127.0.0.1"
JOB = {"provider": "fal", "model": "a/b", "input": {}}


async def post_job(receiver: Receiver, *, peer: str = PEER, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(receiver.app, client=(peer, 50_000))
    named = {"host": "127.0.0.1:8000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as http:
        return await http.post("/v1/jobs", json=JOB, headers=named)


@pytest.mark.parametrize("host", ["localhost:8000", "LOCALHOST:8000", "127.0.0.1:8000", "[::1]:8000"])
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
async def test_without_a_key_a_direct_request_of_this_machine_is_served(
    make_receiver: MakeReceiver, host: str, peer: str
) -> None:
    receiver = make_receiver(API_KEY="")
    assert (await post_job(receiver, host=host, peer=peer, origin=f"http://{host}")).status_code == 202


HOSTS = [
    "rebound.example",
    "rebound.example:8000",
    "localhost",
    "localhost:8001",
    "localhost:",
    "localhost:8000/",
    "user@localhost:8000",
    "localhost:8000#",
    "[",
    "a]b",
    "x y",
    "local`host:8000",
    'local"host:8000',
    "local{host}:8000",
    "localhost:8000|",
    "localhost^:8000",
    "127.0.0.1.rebound.example:8000",
    "",
]


@pytest.mark.parametrize("host", HOSTS)
async def test_without_a_key_a_request_to_any_other_host_is_refused(make_receiver: MakeReceiver, host: str) -> None:
    receiver = make_receiver(API_KEY="")
    response = await post_job(receiver, host=host)
    assert response.status_code == 401
    assert "API_KEY is not set" in response.json()["detail"]
    assert (await receiver.dump())["jobs"] == []


@pytest.mark.parametrize(
    "headers",
    [
        {"x_forwarded_for": "10.0.0.1"},
        {"x_forwarded_proto": "https"},
        {"forwarded": "for=10.0.0.1"},
        {"via": "1.1 proxy"},
        {"x_real_ip": "10.0.0.1"},
    ],
)
async def test_without_a_key_a_request_through_a_proxy_is_refused(
    make_receiver: MakeReceiver, headers: dict[str, str]
) -> None:
    response = await post_job(make_receiver(API_KEY=""), **headers)
    assert (response.status_code, "came through a proxy" in response.json()["detail"]) == (401, True)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8000", "http://127.0.0.1:9"])
async def test_without_a_key_a_request_of_another_sites_page_is_refused(
    make_receiver: MakeReceiver, origin: str
) -> None:
    response = await post_job(make_receiver(API_KEY=""), origin=origin)
    assert (response.status_code, "page of another site" in response.json()["detail"]) == (401, True)


@pytest.mark.parametrize("peer", ["10.0.0.1", "172.17.0.1", "203.0.113.9", "::ffff:10.0.0.1", "2001:db8::1"])
async def test_without_a_key_a_request_from_another_address_is_refused(make_receiver: MakeReceiver, peer: str) -> None:
    receiver = make_receiver(API_KEY="")
    response = await post_job(receiver, peer=peer)
    assert (response.status_code, "another address" in response.json()["detail"]) == (401, True)
    assert receiver.emitted.named("request.refused") == [{"reason": "not_direct", "client": peer}]


async def test_a_missing_key_a_wrong_key_and_another_scheme_are_named_without_the_key(receiver: Receiver) -> None:
    details = {}
    for name, headers in {
        "missing": {},
        "wrong": {"authorization": "Bearer wrong-key-1"},
        "scheme": {"authorization": "Basic d3Jvbmc="},
    }.items():
        response = await post_job(receiver, **headers)
        assert (response.status_code, response.headers["www-authenticate"]) == (401, "Bearer")
        details[name] = response.json()["detail"]
        assert "wrong-key-1" not in response.text
    assert [event["reason"] for event in receiver.emitted.named("request.refused")] == [
        *("key_missing", "key_unknown", "other_scheme")
    ]
    assert {event["client"] for event in receiver.emitted.named("request.refused")} == {PEER}
    assert len(set(details.values())) == 3
    assert "missing" in details["missing"]
    assert "not one of the receiver's API_KEY" in details["wrong"]
