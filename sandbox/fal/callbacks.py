"""fal's callbacks: the envelope, the signature, and the patience with which they are sent.

https://fal.ai/docs/documentation/model-apis/inference/webhooks
"""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx

from sandbox.fal.keys import Keyring
from sandbox.faults import number
from sandbox.jobs import Failure, Job
from sandbox.models import fal_detail, fal_result
from sandbox.options import Options

MEGABYTE = 1 << 20


class AttemptSender:
    """Sends the callbacks of finished jobs, each in a task of its own."""

    def __init__(self, options: Options, keyring: Keyring) -> None:
        self._options = options
        self._keyring = keyring
        self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False)
        self._tasks: set[asyncio.Task[None]] = set()
        self._someone_was_heard = asyncio.Event()

    def expect(self, job: Job) -> None:
        """See a job to its end, then call back."""
        task = asyncio.create_task(self._see_through(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Shutdown calling; what was not acknowledged stays so."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _see_through(self, job: Job) -> None:
        try:
            await asyncio.sleep(job.ends_at - time.time())
            if job.canceled or not job.webhook_url or "lost" in job.faults:
                return
            await self._hold_back(job)
            self._upset_keys(job)
            for body in _bodies(job):
                await self._deliver(job, body)
        finally:
            job.called.set()

    async def _hold_back(self, job: Job) -> None:
        await asyncio.sleep(number(job.faults, "late", 3))
        if "reordered" in job.faults:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._someone_was_heard.wait(), number(job.faults, "reordered", 5))

    def _upset_keys(self, job: Job) -> None:
        if "key-rotated" in job.faults:
            self._keyring.rotate()
        if "jwks-down" in job.faults:
            self._keyring.refuse_reads(int(number(job.faults, "jwks-down", 2)))

    async def _deliver(self, job: Job, body: bytes) -> None:
        delay = self._options.retry_seconds
        for retry in range(self._options.max_retries + 1):
            status = await self._attempt(job, body, retry + 1)
            if status is not None and 200 <= status < 300:
                self._release_held_back(job)
                return
            if status is not None and 300 <= status < 400:
                # Redirects are not followed, and a callback that met one is not sent again.
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._options.retry_cap_seconds)

    async def _attempt(self, job: Job, body: bytes, attempt: int) -> int | None:
        assert job.webhook_url
        patience = self._options.first_timeout_seconds if attempt == 1 else self._options.later_timeout_seconds
        note: dict[str, Any] = {"attempt": attempt, "status": None, "error": None, "at": time.time()}
        try:
            async with asyncio.timeout(patience):
                # Every attempt is dated and signed anew: the receiver's window of 300 s is shorter than the retries.
                response = await self._client.post(
                    job.webhook_url,
                    content=_tampered(job, body, attempt),
                    headers=self._headers(job, body, attempt),
                    timeout=None,
                )
            note["status"] = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            note["error"] = f"{type(error).__name__}: {error}"
        job.callbacks.append(note)
        job.called.set()
        status: int | None = note["status"]
        return status

    def _headers(self, job: Job, body: bytes, attempt: int) -> dict[str, str]:
        other = "other-account" in job.faults and attempt <= number(job.faults, "other-account", attempt)
        user_id = f"not-{self._options.user_id}" if other else self._options.user_id
        timestamp = str(int(time.time() - number(job.faults, "stale", 301)))
        message = "\n".join([job.id, user_id, timestamp, hashlib.sha256(body).hexdigest()])
        return {
            "Content-Type": "application/json",
            "X-Fal-Webhook-Request-Id": job.id,
            "X-Fal-Webhook-User-Id": user_id,
            "X-Fal-Webhook-Timestamp": timestamp,
            "X-Fal-Webhook-Signature": self._keyring.sign(message.encode()),
        }

    def _release_held_back(self, job: Job) -> None:
        if "reordered" not in job.faults:
            self._someone_was_heard.set()
            self._someone_was_heard = asyncio.Event()


def _bodies(job: Job) -> Iterator[bytes]:
    """Give a job's callbacks in the order of sending, serialised as fal does: sorted keys, Python's separators."""
    told = envelope(job, job.failure)
    for _ in range(int(number(job.faults, "duplicate", 2)) or 1):
        yield json.dumps(told, sort_keys=True).encode()
    if "conflict" in job.faults:
        opposite = None if job.failure else Failure("internal_server_error", "The runner changed its mind")
        yield json.dumps(envelope(job, opposite), sort_keys=True).encode()


def envelope(job: Job, failure: Failure | None) -> dict[str, Any]:
    """Wrap a result, or a failure, as a callback's body."""
    told: dict[str, Any] = {"request_id": job.id, "gateway_request_id": job.gateway_id, "error": None}
    if failure:
        return told | {"status": "ERROR", "error": "Invalid status code: 422", "payload": fal_detail(failure)}
    if "null-payload" in job.faults:
        return told | {
            "status": "OK",
            "payload": None,
            "payload_error": "Response payload is not JSON serializable. Fetch the result instead.",
        }
    payload = fal_result(job)
    if "huge" in job.faults:
        payload["padding"] = "x" * int(number(job.faults, "huge", 10) * MEGABYTE)
    return told | {"status": "OK", "payload": payload}


def _tampered(job: Job, body: bytes, attempt: int) -> bytes:
    if "tampered" not in job.faults or attempt > number(job.faults, "tampered", attempt):
        return body
    # Still well formed and believable: who does not verify records the wrong outcome.
    if b'"status": "OK"' in body:
        return body.replace(b'"status": "OK"', b'"status": "ERROR"')
    return body.replace(b'"status": "ERROR"', b'"status": "OK"')
