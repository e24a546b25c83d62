"""One attempt of a delivery: sign, send, record the result, and schedule the next attempt."""

import asyncio
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from ledger.clock import Clock
from ledger.ledger import Ledger
from ledger.requests import UNSIGNED, Attempted, Ending
from ledger.rows import DueDelivery
from outbound.targets import TargetRefused, Targets
from providers.http import NeverSent, Request, Response, Send, Unread
from providers.reading import read_retry_after
from receiver.notifier.retry_schedule import SCHEDULE, next_attempt
from receiver.notifier.signatures import signed_headers
from receiver.views.notification import view_notification
from telemetry.emit import Emit
from telemetry.shielding import run_shielded

_OVERLOADED = frozenset({429, 502, 503, 504})
"""Responses after which an endpoint gets one request at a time."""

KEPT_BYTES = 2048
"""How much of an endpoint's response is kept with the attempt."""


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

    async def deliver(self, delivery: DueDelivery, *, start_by: int) -> bool:
        """Make one attempt and record it. Returns False if the endpoint should get fewer requests.

        An attempt that would begin after `start_by` (ms) is not made: it could outlast the lease. A response, once
        read, is recorded even if this task is cancelled.
        """
        endpoint = delivery.endpoint
        secrets = self._secrets if endpoint.secrets is None else endpoint.secrets
        if endpoint.removed_at is not None:
            await self._settle(delivery, None, "discarded", reason="its endpoint was removed")
        elif endpoint.disabled_reason is not None:
            await self._settle(delivery, None, "dead", reason=endpoint.disabled_reason)
        elif not secrets:
            await self._ledger.pause_endpoint(endpoint.id, UNSIGNED)
            self._emit("endpoint.paused", reason=UNSIGNED, endpoint=endpoint.id)
        else:
            async with self._room:
                at = self._clock()
                if at > start_by:
                    return True
                response, error = await self._post(delivery, secrets, at)
            await run_shielded(self._record(delivery, at, response, error))
            return response is not None and response.status not in _OVERLOADED
        return True

    async def _record(self, delivery: DueDelivery, at: int, response: Response | None, error: str | None) -> None:
        attempted = Attempted(
            at=at,
            latency_ms=self._clock() - at,
            status=None if response is None else response.status,
            error=error,
            response=None if response is None else response.body[:KEPT_BYTES],
        )
        self._emit(
            "delivery.attempted",
            delivery=delivery.delivery_id,
            subject=delivery.event.subject,
            host=_host(delivery),
            outcome=_outcome(response),
            status=attempted.status,
            error=error,
            latency_ms=attempted.latency_ms,
        )
        if response is not None and 200 <= response.status < 300:
            await self._settle(delivery, attempted, "delivered")
        elif response is not None and response.status == 410:
            await self._disable(delivery, attempted)
        else:
            await self._reschedule(delivery, attempted, response)

    async def _post(
        self, delivery: DueDelivery, secrets: Sequence[bytes], at: int
    ) -> tuple[Response | None, str | None]:
        endpoint, body = delivery.endpoint, notification(delivery)
        headers = signed_headers(delivery.delivery_id, body, secrets, now=at)
        headers["content-type"] = "application/json"
        seconds = None if endpoint.timeout_ms is None else endpoint.timeout_ms / 1000
        try:
            self._targets.check_host(_host(delivery))
            async with asyncio.timeout(seconds):
                return await self._send(Request(method="POST", url=endpoint.url, headers=headers, body=body)), None
        except TimeoutError:
            return None, f"no response within {seconds:g} s"
        except (NeverSent, Unread, TargetRefused) as error:
            return None, str(error)

    async def _reschedule(self, delivery: DueDelivery, attempted: Attempted, response: Response | None) -> None:
        now, failures = self._clock(), delivery.failures + 1
        retry_after = read_retry_after(response.headers, now) if response else None
        delay = next_attempt(failures, retry_after, schedule=delivery.endpoint.schedule or SCHEDULE)
        if delay is None:
            last = attempted.error or f"HTTP {attempted.status}"
            await self._settle(delivery, attempted, "dead", reason=f"{failures} attempts failed; the last: {last}")
        else:
            await self._ledger.retry_delivery(delivery.delivery_id, attempted, due_at=now + delay)

    async def _disable(self, delivery: DueDelivery, attempted: Attempted) -> None:
        reason = "the endpoint answered 410 Gone"
        await self._ledger.disable_endpoint(delivery, attempted, reason=reason)
        self._emit(
            "endpoint.disabled", endpoint=delivery.endpoint.id, host=_host(delivery), delivery=delivery.delivery_id
        )
        self._finished(delivery, "dead", reason)

    async def _settle(
        self, delivery: DueDelivery, attempted: Attempted | None, ending: Ending, *, reason: str | None = None
    ) -> None:
        await self._ledger.finish_delivery(delivery.delivery_id, attempted, ending, reason=reason)
        self._finished(delivery, ending, reason)

    def _finished(self, delivery: DueDelivery, ending: Ending, reason: str | None) -> None:
        self._emit(
            "delivery.finished",
            delivery=delivery.delivery_id,
            subject=delivery.event.subject,
            host=_host(delivery),
            state=ending,
            reason=reason,
        )


def notification(delivery: DueDelivery) -> bytes:
    """Write the body: the same bytes at every attempt."""
    return msgspec.json.encode(view_notification(delivery.event, delivery.subject_kind, delivery.job))


def _host(delivery: DueDelivery) -> str:
    return urlsplit(delivery.endpoint.url).hostname or ""


def _outcome(response: Response | None) -> str:
    return "unanswered" if response is None else f"{response.status // 100}xx"
