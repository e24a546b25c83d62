"""Connections of strangers to a real process: bounded memory, others are served, and an orderly end."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import httpx
import psutil
import pytest

from receiver.settings import read_settings
from tests.process.children import until
from tests.process.deployment import Deployment

MOST_MB = 40
"""What the process may grow by: a connection has at most 64 KiB and a packet of 250 KB."""

FLOOD = b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n" * 5000
HALVES = {
    "a head": b"GET / HTTP/1.1\r\nHost: x\r\nX: ",
    "a web socket": b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX: ",
    "the body of an upgrade": b"POST / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Content-Length: 9\r\n\r\n",
}


@pytest.fixture
def running(deployment: Deployment) -> Iterator[Deployment]:
    deployment.settings["MAX_CONNECTIONS"] = "100"
    deployment.start()
    yield deployment
    assert deployment.stop() == 0
    assert "Traceback" not in (deployment.folder / "receiver.log").read_text()


@contextlib.contextmanager
def connections(deployment: Deployment, count: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as opened:
        address = ("127.0.0.1", int(deployment.settings["PORT"]))
        yield [opened.enter_context(socket.create_connection(address, 5)) for _ in range(count)]


def memory_mb(deployment: Deployment) -> float:
    assert deployment.receiver
    return float(psutil.Process(deployment.receiver.pid).memory_info().rss) / 1e6


def is_served(deployment: Deployment) -> bool:
    try:
        return httpx.get(f"{deployment.url}/healthz", timeout=0.5, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def drain(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while client.recv(65_536):
            pass


@pytest.mark.parametrize("reads", [True, False], ids=["and reads", "and does not read"])
def test_a_client_that_pipelines_without_end_costs_little(running: Deployment, reads: bool) -> None:
    before, peak = memory_mb(running), 0.0
    with connections(running, 5) as clients:
        for client in clients:
            client.settimeout(0.2)
            if reads:
                threading.Thread(target=drain, args=(client,), daemon=True).start()
        sent = 0
        for _ in range(20):
            for client in clients:
                with contextlib.suppress(TimeoutError):
                    sent += client.send(FLOOD)
            peak = max(peak, memory_mb(running))
            assert is_served(running)
    assert sent > 1_000_000
    assert peak - before < MOST_MB


def test_an_idle_connection_is_closed_after_the_time_of_the_setting(deployment: Deployment) -> None:
    assert read_settings({}).keep_alive_seconds > 3600  # longer than Envoy keeps them, which is the longest known
    deployment.settings["KEEP_ALIVE_SECONDS"] = "0.2"
    deployment.start()
    with connections(deployment, 1) as [client]:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        drain(client)  # until the receiver closes
    assert deployment.stop() == 0


@pytest.mark.parametrize("half", HALVES.values(), ids=HALVES.keys())
def test_half_requests_on_every_connection_keep_no_client_out(running: Deployment, half: bytes) -> None:
    with connections(running, 200) as clients:
        for client in clients:
            client.sendall(half)
        until("another client is served", lambda: is_served(running), 5)


def test_half_requests_do_not_delay_the_end(running: Deployment) -> None:
    with connections(running, 60) as clients:
        for client, half in zip(clients, [*HALVES.values()] * 20, strict=True):
            client.sendall(half)
        until("another client is served", lambda: is_served(running), 5)
        assert running.receiver
        assert running.stop() == 0  # within STOP_SECONDS
        running.start()


def test_a_large_body_that_is_refused_costs_little_and_is_answered(running: Deployment) -> None:
    before = memory_mb(running)
    with connections(running, 10) as clients:
        for client in clients:
            client.sendall(b"POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 8000000\r\n\r\n")
            client.sendall(b"x" * 8_000_000)
            assert client.recv(100).startswith(b"HTTP/1.1 401 ")
        assert memory_mb(running) - before < MOST_MB
