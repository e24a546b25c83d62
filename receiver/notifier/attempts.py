"""One attempt of a delivery: sign, send, record the result, and schedule the next attempt."""

import asyncio
import enum
from collections.abc import Awaitable, Callable, Sequence
from urllib.parse import urlsplit

from ledger.clock import Clock
from ledger.ledger import Ledger
from ledger.requests import UNSIGNED, Attempted, Ending
from ledger.rows import DueDelivery
from outbound.client import NotReached
from outbound.targets import TargetRefused, Targets
from providers.http import NeverSent, Request, Response, Send, Unread
from providers.reading import read_retry_after
from receiver.notifier.bodies import Bodies
from receiver.notifier.retry_schedule import SCHEDULE, next_attempt
from receiver.notifier.signatures import signed_headers
from telemetry.emit import Emit
from telemetry.shielding import run_shielded

_OVERLOADED = frozenset({429, 502, 503, 504})
"""Responses after which an endpoint gets one request at a time."""

KEPT_BYTES = 2048
"""How much of an endpoint's response is kept with the attempt."""


class Result(enum.Enum):
    """What an attempt says about its endpoint."""

    ANSWERED = enum.auto()
    """It may get more requests at once. Also when nothing was sent because nothing had to be."""
    FAILED = enum.auto()
    """It should get one request at a time."""
    POSTPONED = enum.auto()
    """Nothing: no request was made, for a reason on our side. The delivery is as it was."""


NameWaiter = Callable[[str, float], Awaitable[bool]]
"""Waits some seconds at most for the addresses of a host. False if they are still not known: `outbound/names.py`."""


class AttemptSender:
    """Makes attempts, `at_once` at most. `secrets` sign, newest first; `send` must not follow redirects."""

    def __init__(
        self,
        ledger: Ledger,
        send: Send,
        targets: Targets,
        *,
        name_ready: NameWaiter,
        bodies: Bodies,
        clock: Clock,
        emit: Emit,
        secrets: Sequence[bytes],
        at_once: int,
    ) -> None:
        self._ledger = ledger
        self._send = send
        self._targets = targets
        self._name_ready = name_ready
        self._bodies = bodies
        self._clock = clock
        self._emit = emit
        self._secrets = secrets
        self._room = asyncio.Semaphore(at_once)

    async def deliver(self, delivery: DueDelivery, *, start_by: int, name_seconds: float) -> Result:
        """Make one attempt and record it with what comes next.

        It waits `name_seconds` at most for the addresses of the endpoint's host. An attempt that would begin after
        `start_by` (ms) is not made: it could outlast the lease. A response, once read, is recorded even if this task is
        cancelled. Raises LedgerError.
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
        elif delivery.failures >= len(endpoint.schedule or SCHEDULE):
            await self._settle(delivery, None, "dead", reason=f"{delivery.failures} attempts failed")
        elif not await self._name_ready(_host(delivery), name_seconds):
            return Result.POSTPONED
        else:
            return await self._attempt(delivery, secrets, start_by)
        return Result.ANSWERED

    async def _attempt(self, delivery: DueDelivery, secrets: Sequence[bytes], start_by: int) -> Result:
        async with self._bodies.body_of(delivery) as body, self._room:
            at = self._clock()
            if at > start_by:
                return Result.ANSWERED
            if delivery.large:
                await self._begin(delivery)
            try:
                response, error = await self._post(delivery, body, secrets, at)
            except NotReached as reason:
                self._emit("delivery.postponed", reason=str(reason))
                if delivery.large:
                    await self._ledger.withdraw_attempt(delivery.delivery_id)
                return Result.POSTPONED
        await run_shielded(self._record(delivery, at, response, error))
        answered = response is not None and response.status not in _OVERLOADED
        return Result.ANSWERED if answered else Result.FAILED

    async def _begin(self, delivery: DueDelivery) -> None:
        """Count the attempt before it is made: a large body may cost the process its life, and must not do so often."""
        delay = next_attempt(delivery.failures + 1, None, schedule=delivery.endpoint.schedule or SCHEDULE)
        await self._ledger.begin_attempt(delivery.delivery_id, due_at=self._clock() + (delay or 0))

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
        self, delivery: DueDelivery, body: bytes, secrets: Sequence[bytes], at: int
    ) -> tuple[Response | None, str | None]:
        endpoint = delivery.endpoint
        headers = signed_headers(delivery.delivery_id, body, secrets, now=at)
        headers["content-type"] = "application/json"
        seconds = None if endpoint.timeout_ms is None else endpoint.timeout_ms / 1000
        try:
            self._targets.check_host(_host(delivery))
            async with asyncio.timeout(seconds):
                return await self._send(Request(method="POST", url=endpoint.url, headers=headers, body=body)), None
        except TimeoutError:
            return None, f"no response within {seconds:g} s"
        except NotReached:
            raise
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
            await self._ledger.retry_delivery(
                delivery.delivery_id, attempted, due_at=now + delay, counted=delivery.large
            )

    async def _disable(self, delivery: DueDelivery, attempted: Attempted) -> None:
        reason = "the endpoint answered 410 Gone"
        await self._ledger.disable_endpoint(delivery, attempted, reason=reason, counted=delivery.large)
        self._emit(
            "endpoint.disabled", endpoint=delivery.endpoint.id, host=_host(delivery), delivery=delivery.delivery_id
        )
        self._finished(delivery, "dead", reason)

    async def _settle(
        self, delivery: DueDelivery, attempted: Attempted | None, ending: Ending, *, reason: str | None = None
    ) -> None:
        await self._ledger.finish_delivery(
            delivery.delivery_id, attempted, ending, reason=reason, counted=delivery.large
        )
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


def _host(delivery: DueDelivery) -> str:
    return urlsplit(delivery.endpoint.url).hostname or ""


def _outcome(response: Response | None) -> str:
    return "unanswered" if response is None else f"{response.status // 100}xx"
