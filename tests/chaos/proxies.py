"""Proxies as processes on loopback, each with the shortest configuration that puts it in front of a receiver."""

import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from tests.process.children import Child, free_port, until

_NGINX = """
daemon off;
{user}
worker_processes 1;
error_log stderr warn;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_max_body_size 32m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    upstream receiver {{ server 127.0.0.1:{receiver}; keepalive 4; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ {location} }}
    }}
}}
"""

_HAPROXY = """
defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
frontend in
    bind 127.0.0.1:{port}
    default_backend receiver
backend receiver
    server one 127.0.0.1:{receiver}
"""

_CADDY = """
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{receiver}
}}
"""


class Proxy(msgspec.Struct, frozen=True):
    """A proxy: its program, its configuration, and the command that starts it in a folder with that file."""

    program: str
    configuration: str
    command: Callable[[str, Path], list[str]]
    location: str = ""


def _nginx(location: str) -> Proxy:
    return Proxy("nginx", _NGINX, lambda program, file: [program, "-p", str(file.parent), "-c", str(file)], location)


PROXIES = {
    "nginx": _nginx("proxy_pass http://receiver;"),  # HTTP/1.0, a connection for each request, bodies read first
    "nginx, streaming": _nginx(
        'proxy_pass http://receiver; proxy_http_version 1.1; proxy_set_header Connection ""; '
        "proxy_request_buffering off; proxy_buffering off;"
    ),
    "haproxy": Proxy("haproxy", _HAPROXY, lambda program, file: [program, "-db", "-f", str(file)]),
    "caddy": Proxy(
        "caddy", _CADDY, lambda program, file: [program, "run", "--config", str(file), "--adapter", "caddyfile"]
    ),
}


def start_proxy(name: str, folder: Path, receiver: int) -> tuple[Child, int]:
    """Start a proxy in front of the port `receiver`. Returns its process and its port. Skips if it is not installed."""
    proxy = PROXIES[name]
    program = shutil.which(proxy.program, path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:  # the product needs none, and .ci/run installs none
        pytest.skip(f"{proxy.program} is not on this machine (Debian: apt-get install {proxy.program})")
    port = free_port()
    file = folder / "proxy.conf"
    user = "user root;" if os.geteuid() == 0 else ""  # its workers write into the folder
    text = proxy.configuration.format(port=port, receiver=receiver, folder=folder, user=user, location=proxy.location)
    file.write_text(text)
    child = Child(folder / "proxy.log", proxy.command(program, file), {"HOME": str(folder)})

    def listens() -> bool:
        assert child.code() is None, child.output
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    until(f"{name} listens", listens)
    return child, port
