"""fal's callbacks: body, signature, and retries.

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


class CallbackSender:
    """Sends the callbacks of jobs when they end, in one task a job."""

    def __init__(self, options: Options, keyring: Keyring) -> None:
        self._options = options
        self._keyring = keyring
        self._client = httpx.AsyncClient(follow_redirects=False, trust_env=False)
        self._tasks: set[asyncio.Task[None]] = set()
        self._acknowledged = asyncio.Event()
        """Set when the callback of any job but a `reordered` one is acknowledged, then replaced."""

    def schedule(self, job: Job) -> None:
        """Send a job's callbacks when it has ended."""
        task = asyncio.create_task(self._run(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Cancel all callbacks that are not yet acknowledged."""
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._client.aclose()

    async def _run(self, job: Job) -> None:
        try:
            await asyncio.sleep(job.ends_at - time.time())
            if job.canceled or not job.webhook_url or "lost" in job.faults:
                return
            await self._delay(job)
            self._apply_key_faults(job)
            for body in _bodies(job):
                await self._deliver(job, body)
        finally:
            job.called_back.set()

    async def _delay(self, job: Job) -> None:
        await asyncio.sleep(number(job.faults, "late", 3))
        if "reordered" in job.faults:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._acknowledged.wait(), number(job.faults, "reordered", 5))

    def _apply_key_faults(self, job: Job) -> None:
        if "key-rotated" in job.faults:
            self._keyring.rotate()
        if "jwks-down" in job.faults:
            self._keyring.refuse_reads(int(number(job.faults, "jwks-down", 2)))

    async def _deliver(self, job: Job, body: bytes) -> None:
        delay = self._options.retry_seconds
        for attempt in range(1, self._options.max_retries + 2):
            status = await self._attempt(job, body, attempt)
            if status is not None and 200 <= status < 300:
                self._release_reordered(job)
                return
            if status is not None and 300 <= status < 400:
                # fal neither follows redirects nor retries after one.
                return
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._options.retry_cap_seconds)

    async def _attempt(self, job: Job, body: bytes, attempt: int) -> int | None:
        assert job.webhook_url
        timeout = self._options.first_timeout_seconds if attempt == 1 else self._options.later_timeout_seconds
        record: dict[str, Any] = {"attempt": attempt, "status": None, "error": None, "at": time.time()}
        try:
            async with asyncio.timeout(timeout):
                # Each attempt is signed again: retries last longer than the receiver's tolerance of 300 s.
                response = await self._client.post(
                    job.webhook_url,
                    content=_tampered(job, body, attempt),
                    headers=self._headers(job, body, attempt),
                    timeout=None,
                )
            record["status"] = response.status_code
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
            record["error"] = f"{type(error).__name__}: {error}"
        job.callbacks.append(record)
        job.called_back.set()
        status: int | None = record["status"]
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

    def _release_reordered(self, job: Job) -> None:
        if "reordered" not in job.faults:
            self._acknowledged.set()
            self._acknowledged = asyncio.Event()


def _bodies(job: Job) -> Iterator[bytes]:
    """Yield the bodies of a job's callbacks, serialised as fal does: sorted keys, Python's separators."""
    envelope = _envelope(job, job.failure)
    for _ in range(int(number(job.faults, "duplicate", 2)) or 1):
        yield json.dumps(envelope, sort_keys=True).encode()
    if "conflict" in job.faults:
        opposite = None if job.failure else Failure("internal_server_error", "The runner changed its mind")
        yield json.dumps(_envelope(job, opposite), sort_keys=True).encode()


def _envelope(job: Job, failure: Failure | None) -> dict[str, Any]:
    envelope: dict[str, Any] = {"request_id": job.id, "gateway_request_id": job.gateway_id, "error": None}
    if failure:
        return envelope | {"status": "ERROR", "error": "Invalid status code: 422", "payload": fal_detail(failure)}
    if "null-payload" in job.faults:
        return envelope | {
            "status": "OK",
            "payload": None,
            "payload_error": "Response payload is not JSON serializable. Fetch the result instead.",
        }
    payload = fal_result(job)
    if "huge" in job.faults:
        payload["padding"] = "x" * int(number(job.faults, "huge", 10) * MEGABYTE)
    return envelope | {"status": "OK", "payload": payload}


def _tampered(job: Job, body: bytes, attempt: int) -> bytes:
    if "tampered" not in job.faults or attempt > number(job.faults, "tampered", attempt):
        return body
    # Still a valid body: a receiver that does not verify the signature records the wrong outcome.
    if b'"status": "OK"' in body:
        return body.replace(b'"status": "OK"', b'"status": "ERROR"')
    return body.replace(b'"status": "ERROR"', b'"status": "OK"')
