"""A database with as many jobs as a measurement needs, and the callback of each, signed as fal signs.

One job is created by the ledger's own transitions; the others are copies of its rows with ids of their own.
"""

import asyncio
import base64
import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from nacl.signing import SigningKey

from ledger.identifiers import new_identifier
from providers.callback_tokens import CallbackTokens
from tests.bench.sample_jobs import SampleJob, finished, pending, submitted

USER = "sandbox-user"
DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True)
class Signed:
    """One callback as it is sent."""

    job_id: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Dataset:
    """A folder with `ledger.db`, `jwks.json`, `keys.json`, and `open.tsv`: ids of the jobs that wait for a callback."""

    folder: Path

    @property
    def jwks(self) -> Path:
        return self.folder / "jwks.json"

    @property
    def secret_key(self) -> str:
        return str(json.loads((self.folder / "keys.json").read_text())["secret_key"])

    def ledger(self, folder: Path) -> Path:
        """Copy the database into `folder`, and flush the disk: each measurement begins alike."""
        copy = Path(shutil.copyfile(self.folder / "ledger.db", folder / "ledger.db"))
        os.sync()
        return copy

    def bytes_per_job(self, jobs: int) -> float:
        return (self.folder / "ledger.db").stat().st_size / jobs

    def callbacks(self, *, skip: int = 0) -> Iterator[Signed]:
        """Yield the callback of each open job after the first `skip`, signed and dated now."""
        keys = json.loads((self.folder / "keys.json").read_text())
        key, tokens = SigningKey(bytes.fromhex(keys["signing_key"])), CallbackTokens([keys["secret_key"]])
        with (self.folder / "open.tsv").open() as lines:
            for line in islice(lines, skip, None):
                job_id, request_id = line.split()
                yield sign(key, job_id, tokens.sign(job_id), request_id)

    def replay(self, count: int) -> Path:
        """Write the first callbacks to a file, for tests/bench/replay.lua."""
        path = self.folder / "callbacks.tsv"
        with path.open("w") as file:
            for signed in islice(self.callbacks(), count):
                file.write("\t".join((signed.path, *signed.headers.values(), signed.body.decode())) + "\n")
        return path


def make_dataset(folder: Path, *, open_jobs: int, finished_jobs: int = 0, pending_deliveries: int = 0) -> Dataset:
    """Create a database of submitted jobs, of finished jobs, and of finished jobs with pending deliveries."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "ledger.db"
    for kind, count, age in ((finished, finished_jobs, 30 * DAY_MS), (pending, pending_deliveries, DAY_MS)):
        if count:
            _copy_job(path, asyncio.run(kind(path)), count, age)
    pairs = _copy_job(path, asyncio.run(submitted(path)), open_jobs, DAY_MS) if open_jobs else []
    (folder / "open.tsv").write_text("".join(f"{job_id}\t{request_id}\n" for job_id, request_id in pairs))
    key = SigningKey.generate()
    keys = {"signing_key": bytes(key).hex(), "secret_key": secrets.token_urlsafe(32)}
    (folder / "keys.json").write_text(json.dumps(keys))
    point = base64.urlsafe_b64encode(bytes(key.verify_key)).rstrip(b"=").decode()
    (folder / "jwks.json").write_text(json.dumps({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": point}]}))
    return Dataset(folder)


def sign(key: SigningKey, job_id: str, token: str, request_id: str) -> Signed:
    """Return the callback that fal sends for a completed face swap."""
    url = f"https://v3.fal.media/files/lion/{job_id[4:]}_output.mp4"
    body = json.dumps(
        {
            "request_id": request_id,
            "gateway_request_id": request_id,
            "status": "OK",
            "payload": {
                "video": {"url": url, "content_type": "video/mp4", "file_name": "output.mp4", "file_size": 4_404_019},
                "processing_time_ms": 41_230,
            },
        }
    ).encode()
    timestamp = str(int(time.time()))
    digest = hashlib.sha256(body).hexdigest()
    headers = {
        "x-fal-webhook-request-id": request_id,
        "x-fal-webhook-user-id": USER,
        "x-fal-webhook-timestamp": timestamp,
        "x-fal-webhook-signature": key.sign(f"{request_id}\n{USER}\n{timestamp}\n{digest}".encode()).signature.hex(),
    }
    return Signed(job_id, f"/callbacks/fal/{token}", headers, body)


# The columns that contain the id of the job or of its request, as written for a copy; others are copied as they are.
_RENAMED = {
    "jobs": {
        "id": "c.job_id",
        "provider_request_id": "c.request_id",
        "status_url": "replace(t.status_url, :request, c.request_id)",
        "response_url": "replace(t.response_url, :request, c.request_id)",
        "cancel_url": "replace(t.cancel_url, :request, c.request_id)",
    },
    "inputs": {"job_id": "c.job_id"},
    "outputs": {"job_id": "c.job_id", "url": "replace(t.url, substr(:job, 5), substr(c.job_id, 5))"},
    "events": {"subject": "c.job_id"},
    "receipts": {
        "id": "'rcpt_' || substr(c.job_id, 5)",
        "job_id": "c.job_id",
        "request_id": "c.request_id",
        "body": "CAST(replace(CAST(t.body AS TEXT), :request, c.request_id) AS BLOB)",
    },
    "deliveries": {"id": "replace(t.id, :job, c.job_id)", "subject": "c.job_id"},
    "attempts": {"delivery_id": "replace(t.delivery_id, :job, c.job_id)"},
    "work": {"subject": "c.job_id", "due_at": "t.due_at + abs(random() % 3600000)"},
}
_OF_THE_JOB = {
    "jobs": "t.id = :job",
    "events": "t.subject = :job",
    "deliveries": "t.subject = :job",
    "attempts": "t.delivery_id IN (SELECT id FROM deliveries WHERE subject = :job)",
    "work": "t.subject = :job",
}


def _copy_job(path: Path, sample: SampleJob, count: int, age_ms: int) -> list[tuple[str, str]]:
    """Copy the rows of a job until there are `count` such jobs, accepted over the last `age_ms`."""
    began = time.time_ns() // 1_000_000 - age_ms
    pairs = [
        (new_identifier("job", began + number * age_ms // count), str(uuid.uuid4())) for number in range(count - 1)
    ]
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA cache_size = -262144")
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("CREATE TEMP TABLE copies (job_id TEXT, request_id TEXT)")
    connection.execute("BEGIN")
    connection.executemany("INSERT INTO copies VALUES (?, ?)", pairs)
    for table, renamed in _RENAMED.items():
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        written = ", ".join(renamed.get(column, f"t.{column}") for column in columns)
        which = _OF_THE_JOB.get(table, "t.job_id = :job")
        connection.execute(
            f"INSERT INTO {table} ({', '.join(columns)}) SELECT {written} FROM copies AS c, {table} AS t WHERE {which}",
            {"job": sample.job_id, "request": sample.request_id},
        )
    connection.execute("COMMIT")
    connection.close()
    return [*pairs, (sample.job_id, sample.request_id)]
