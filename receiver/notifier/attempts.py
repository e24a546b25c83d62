"""One letter to one endpoint: sign, send, and keep what came of it, until it is delivered or buried in sight."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from ledger.clock import Clock
from ledger.ledger import Ledger
from ledger.requests import Attempted, Ending
from ledger.rows import DueDelivery
from outbound.targets import TargetRefused, Targets
from providers.http import NeverSent, Request, Response, Send, Unread
from providers.reading import read_retry_after
from receiver.notifier.retry_schedule import next_attempt
from receiver.notifier.signatures import signed_headers
from receiver.views.notification import view_notification
from telemetry.emit import Emit
from telemetry.shielding import run_shielded

_TROUBLE = frozenset({429, 502, 503, 504})
"""Answers after which an endpoint is told more slowly."""

KEPT_BYTES = 2048
"""How much of an endpoint's answer is kept with the attempt."""


class AttemptSender:
    """Makes attempts, `at_once` at most. `secrets` sign, newest first; `send` must not follow redirects."""

    def __init__(
        self,
        ledger: Ledger,
        send: Send,
        targets: Targets,
        *,
        clock: Clock,
        emit: Emit,
        secrets: Sequence[bytes],
        at_once: int,
    ) -> None:
        self._ledger = ledger
        self._send = send
        self._targets = targets
        self._clock = clock
        self._emit = emit
        self._secrets = secrets
        self._room = asyncio.Semaphore(at_once)

    async def deliver(self, letter: DueDelivery, *, start_by: int) -> bool:
        """Make one attempt, and note it with what comes next. False when the endpoint seems to be in trouble.

        `start_by` (ms) is when it must have claimed to end within the lease; a later one is left to the next holder.

        An answer, once read, is noted even if this task is cancelled.
        """
        if letter.removed_at is not None:
            await self._settle(letter, None, "discarded", reason="its endpoint was removed")
        elif letter.disabled_reason is not None:
            await self._settle(letter, None, "dead", reason=letter.disabled_reason)
        elif not self._secrets:
            await self._settle(letter, None, "dead", reason="NOTIFY_SECRET is not set: it cannot be signed")
        else:
            async with self._room:
                at = self._clock()
                if at > start_by:
                    return True
                answer, error = await self._post(letter, at)
            await run_shielded(self._note(letter, at, answer, error))
            return answer is not None and answer.status not in _TROUBLE
        return True

    async def _note(self, letter: DueDelivery, at: int, answer: Response | None, error: str | None) -> None:
        attempted = Attempted(
            at=at,
            latency_ms=self._clock() - at,
            status=None if answer is None else answer.status,
            error=error,
            response=None if answer is None else answer.body[:KEPT_BYTES],
        )
        self._emit(
            "delivery.attempted",
            delivery=letter.delivery_id,
            job=letter.job.id,
            outcome=_outcome(answer),
            status=attempted.status,
            error=error,
            latency_ms=attempted.latency_ms,
        )
        if answer is not None and 200 <= answer.status < 300:
            await self._settle(letter, attempted, "delivered")
        elif answer is not None and answer.status == 410:
            self._emit("endpoint.disabled", endpoint=letter.endpoint_id, delivery=letter.delivery_id)
            await self._settle(letter, attempted, "dead", reason="the endpoint answered 410 Gone", gone=True)
        else:
            await self._retry_or_bury(letter, attempted, answer)

    async def _post(self, letter: DueDelivery, at: int) -> tuple[Response | None, str | None]:
        body = notification(letter)
        headers = signed_headers(letter.delivery_id, body, self._secrets, now=at)
        headers["content-type"] = "application/json"
        try:
            self._targets.check_host(urlsplit(letter.endpoint_url).hostname or "")
            return await self._send(Request(method="POST", url=letter.endpoint_url, headers=headers, body=body)), None
        except (NeverSent, Unread, TargetRefused) as error:
            return None, str(error)

    async def _retry_or_bury(self, letter: DueDelivery, attempted: Attempted, answer: Response | None) -> None:
        now = self._clock()
        retry_after = read_retry_after(answer.headers, now) if answer else None
        delay = next_attempt(letter.failures + 1, retry_after)
        if delay is None:
            last = attempted.error or f"HTTP {attempted.status}"
            reason = f"{letter.failures + 1} attempts failed; the last: {last}"
            await self._settle(letter, attempted, "dead", reason=reason)
        else:
            await self._ledger.retry_delivery(letter.delivery_id, attempted, due_at=now + delay)

    async def _settle(
        self,
        letter: DueDelivery,
        attempted: Attempted | None,
        ending: Ending,
        *,
        reason: str | None = None,
        gone: bool = False,
    ) -> None:
        await self._ledger.finish_delivery(letter.delivery_id, attempted, ending, reason=reason, gone=gone)
        self._emit("delivery.finished", delivery=letter.delivery_id, job=letter.job.id, state=ending, reason=reason)


def notification(letter: DueDelivery) -> bytes:
    """Write the body: the same bytes at every attempt."""
    return msgspec.json.encode(view_notification(letter.event, letter.job))


def _outcome(answer: Response | None) -> str:
    return "unanswered" if answer is None else f"{answer.status // 100}xx"
