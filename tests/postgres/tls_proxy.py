"""A TLS proxy in front of a server, with a certificate of its own: the binaries were built without TLS.

It answers as a Postgres whose pg_hba.conf has nothing but hostssl, and passes on what it deciphers.
"""

import asyncio
import contextlib
import datetime
import ipaddress
import shutil
import ssl
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.postgres.binaries import new_folder
from tests.postgres.servers import PostgresServer
from tests.process.children import free_port

CANCEL, TLS, GSS = 80877102, 80877103, 80877104
"""What the first eight bytes of a connection ask for, when they are not the start of a plain session."""
FIELDS = b"SFATAL\0VFATAL\0C28000\0Mno pg_hba.conf entry for this host, no encryption\0\0"
REFUSAL = b"E" + struct.pack("!I", 4 + len(FIELDS)) + FIELDS


def write_certificate(folder: Path) -> tuple[Path, Path]:
    """Make a certificate of localhost and 127.0.0.1 that only it itself vouches for, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now - day, now + day)
    made = made.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    encoding = serialization.Encoding.PEM
    secret = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.crt").write_bytes(made.sign(key, hashes.SHA256()).public_bytes(encoding))
    (folder / "server.key").write_bytes(secret)
    return folder / "server.crt", folder / "server.key"


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy what one side sends until it has finished."""
    with contextlib.closing(writer), contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


class TLSProxy:
    """A port in front of one server that accepts only TLS; `certificate` is for `sslrootcert`."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self.port = free_port()
        self._folder = new_folder()
        self.certificate, key = write_certificate(self._folder)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._opened, self._closing = threading.Event(), asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._opened.wait(5), "the TLS proxy does not open"

    def url(self, database: str = "postgres", *, host: str = "127.0.0.1", **words: str) -> str:
        """Give its URL, with libpq's own words: `sslmode`, `sslrootcert`."""
        return f"postgres://postgres@{host}:{self.port}/{database}?{urlencode(words)}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join(5)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._stand_open())

    async def _stand_open(self) -> None:
        listener = await asyncio.start_server(self._take, "127.0.0.1", self.port)
        self._opened.set()
        await self._closing.wait()
        listener.close()
        for writer in self._writers:
            with contextlib.suppress(AttributeError):  # what Python 3.11.2 makes of one that is closed already
                writer.transport.abort()
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        with contextlib.closing(writer), contextlib.suppress(OSError, asyncio.IncompleteReadError):
            first = await reader.readexactly(8)
            while (asked := struct.unpack("!II", first)[1]) == GSS:
                writer.write(b"N")
                first = await reader.readexactly(8)
            if asked not in {TLS, CANCEL}:  # a cancel comes without TLS from most, and Postgres takes it
                writer.write(REFUSAL)
                return
            if asked == TLS:
                writer.write(b"S")
                await writer.drain()
                await writer.start_tls(self._context)
                first = b""
            inside, to_inside = await asyncio.open_connection("127.0.0.1", self.server.port)
            self._writers.append(to_inside)
            to_inside.write(first)
            await asyncio.gather(pass_on(reader, to_inside), pass_on(inside, writer))


@contextlib.contextmanager
def encrypting(server: PostgresServer) -> Iterator[TLSProxy]:
    """Have a TLS proxy before a server, open, and gone at the end."""
    with contextlib.closing(TLSProxy(server)) as proxy:
        yield proxy
