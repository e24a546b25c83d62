"""Behind nginx, HAProxy and Caddy: every callback arrives whole, every response arrives, and there is no 502."""

import contextlib
import http.client
import json
import secrets
import socket
import time
from collections.abc import Iterator

import pytest

from providers.callback_tokens import CallbackTokens
from receiver.callbacks.bodies import READ_ON
from tests.chaos.proxies import PROXIES, start_proxy
from tests.process.children import until
from tests.process.deployment import Deployment, Services
from tests.process.job_requests import JobRequest
from tests.receiver.harness import Fal

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(120)]

ROUNDS = 10
LARGE = 2_000_000
LIMIT = 2_100_000
"""MAX_RESULT_BYTES here."""

REFUSED = 8_000_000
"""More than MAX_BODY_BYTES."""

Head = dict[str, str]


class Proxied:
    """A receiver behind a proxy, and a job of fal that waits for its callback."""

    def __init__(self, deployment: Deployment, port: int) -> None:
        self.deployment = deployment
        self.port = port
        self.authorized = {"Authorization": f"Bearer {deployment.api_key}", "Content-Type": "application/json"}
        self.job_id = self.path = ""

    def submit(self) -> None:
        """Begin with another job."""
        self.job_id = str(self.deployment.submit(JobRequest(faults="late=600")))
        self.path = f"/callbacks/fal/{CallbackTokens([self.deployment.settings['SECRET_KEY']]).sign(self.job_id)}"

    def callback(self) -> tuple[Head, bytes]:
        """Return a signed callback of 2 MB, unlike any other."""
        request_id = until("the job is submitted", lambda: self.deployment.job(self.job_id)["provider_request_id"])
        payload = {"video": {"url": "https://v3.fal.media/files/a.mp4"}, "filling": secrets.token_hex(LARGE // 2)}
        body = json.dumps({"request_id": request_id, "status": "OK", "payload": payload}).encode()
        signed = Fal().sign(
            body,
            request_id=request_id,
            user_id="sandbox-user",
            timestamp=int(time.time()),
            key=self.deployment.services.signing_key,
        )
        return dict(signed), body

    def send(self, connection: http.client.HTTPConnection, path: str, headers: Head, body: object) -> int:
        """POST, and read the response after all of the body was sent, or as much as Caddy takes once it has one."""
        with contextlib.suppress(ConnectionError):
            connection.request("POST", path, body, headers, encode_chunked=not isinstance(body, bytes))  # type: ignore[arg-type]
        response = connection.getresponse()
        response.read()
        return response.status

    def alive(self, connection: http.client.HTTPConnection) -> bool:
        """Ask /healthz, again on a new connection if the proxy has closed this one, as it may between requests."""
        for _ in range(2):
            with contextlib.suppress(ConnectionError):
                connection.request("GET", "/healthz")
                answered = connection.getresponse()
                return (answered.status, json.loads(answered.read())["status"]) == (200, "alive")
            connection.close()
        return False

    def connect(self) -> contextlib.closing[http.client.HTTPConnection]:
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30))

    def received(self) -> set[bytes]:
        """Return the bodies of all receipts."""
        found = self.deployment.services.http.get(
            f"{self.deployment.url}/v1/jobs/{self.job_id}/receipts", headers=self.authorized
        )
        return {row["body"].encode() for row in found.json()["receipts"]}


@pytest.fixture(scope="module", params=PROXIES)
def started(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    """A receiver behind each of the proxies, for all tests."""
    folder = tmp_path_factory.mktemp("proxy")
    with contextlib.ExitStack() as stack:
        services = Services(folder)
        stack.callback(services.close)
        deployment = Deployment(folder, services, MAX_RESULT_BYTES=str(LIMIT))
        stack.callback(deployment.close)
        proxy, port = start_proxy(request.param, folder, int(deployment.settings["PORT"]))
        stack.callback(proxy.kill)
        deployment.start()
        yield Proxied(deployment, port)
        assert deployment.stop() == 0


@pytest.fixture
def proxied(started: Proxied) -> Proxied:
    started.submit()
    return started


def in_parts(body: bytes) -> Iterator[bytes]:
    """Yield a body in parts, which become chunks."""
    for start in range(0, len(body), 50_000):
        yield body[start : start + 50_000]


def test_callbacks_of_2_mb_arrive_whole(proxied: Proxied) -> None:
    sent = set()
    with proxied.connect() as connection:
        for number in range(ROUNDS):
            headers, body = proxied.callback()
            sent.add(body)
            if number % 2:
                status = proxied.send(
                    connection, proxied.path, headers | {"Transfer-Encoding": "chunked"}, in_parts(body)
                )
            else:
                status = proxied.send(connection, proxied.path, headers, body)
            assert status == 200
    assert proxied.received() == sent


def test_callbacks_that_expect_continue_arrive_whole(proxied: Proxied) -> None:
    sent = set()
    for _ in range(ROUNDS):
        headers, body = proxied.callback()
        sent.add(body)
        assert expecting(proxied.port, proxied.path, headers, body) == 200
    assert proxied.received() == sent


def test_what_is_refused_early_gets_its_status_and_never_502(proxied: Proxied) -> None:
    headers, _ = proxied.callback()
    refused: list[tuple[str, Head, int, int]] = [
        ("/v1/jobs", {"Content-Type": "application/json"}, REFUSED, 401),
        ("/v1/jobs", {}, REFUSED, 401),
        ("/v1/jobs", proxied.authorized, REFUSED, 413),
        ("/v1/nothing", proxied.authorized, REFUSED, 404),
        ("/callbacks/fal/foreign", headers, REFUSED, 404),
        ("/callbacks/unknown/x", headers, REFUSED, 404),
        (proxied.path, headers, READ_ON * LIMIT + 1, 413),
        (proxied.path, {}, REFUSED, 401),
    ]
    for _ in range(ROUNDS // 2):
        for path, fields, size, status in refused:
            with proxied.connect() as connection:
                assert proxied.send(connection, path, fields, b"x" * size) == status
    for path, fields, size, status in refused:
        assert expecting(proxied.port, path, fields, b"x" * size) == status


def test_a_refused_body_in_chunks_gets_its_status(proxied: Proxied) -> None:
    for _ in range(ROUNDS):
        with proxied.connect() as connection:
            fields = {"Transfer-Encoding": "chunked", "Content-Type": "application/json"}
            assert proxied.send(connection, "/v1/jobs", fields, in_parts(b"x" * REFUSED)) == 401


def test_requests_after_a_refused_body_are_answered(proxied: Proxied) -> None:
    with proxied.connect() as connection:
        for _ in range(ROUNDS):
            assert proxied.send(connection, "/v1/jobs", {}, b"x" * LARGE) == 401
            assert proxied.alive(connection)


@pytest.mark.parametrize("body", [b"", b"x" * 200_000], ids=["small", "large"])  # Caddy resets those of over 256 KB
def test_http_1_0_clients_are_answered(proxied: Proxied, body: bytes) -> None:
    for path, status in (("/healthz", b"405"), ("/v1/jobs", b"401")):
        with socket.create_connection(("127.0.0.1", proxied.port), 30) as client:
            client.sendall(f"POST {path} HTTP/1.0\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            received = b""
            while part := client.recv(65_536):
                received += part
        assert received.split(b" ", 2)[1] == status


def expecting(port: int, path: str, headers: Head, body: bytes) -> int:
    """POST with `Expect: 100-continue`, as curl does. Returns the status."""
    fields = {"Host": "x", "Expect": "100-continue", "Content-Length": str(len(body)), "Connection": "close"} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    with socket.create_connection(("127.0.0.1", port), 30) as client, client.makefile("rb") as stream:
        client.sendall(f"POST {path} HTTP/1.1\r\n{head}\r\n".encode())
        status = int(stream.readline().split()[1])
        if status == 100:
            with contextlib.suppress(ConnectionError):  # Caddy takes no more once it has a response
                client.sendall(body)
        while status == 100:  # a proxy may send its own and pass on ours, with headers
            while stream.readline() != b"\r\n":
                pass
            status = int(stream.readline().split()[1])
        return status
