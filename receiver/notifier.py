"""Telling the user's systems: sign, send, and keep what came of it, until it is delivered or buried in sight."""

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from ledger import deliveries, work
from ledger.deliveries import Attempted, Ending
from ledger.facts import Announce
from ledger.rows import Letter
from ledger.store import Store
from ledger.work import Task
from providers.reading import read_retry_after
from providers.wire import Answer, NeverSent, Request, Send, Unread
from receiver.clock import Clock
from receiver.job_view import rfc3339, view_job_at
from receiver.retries import next_attempt
from receiver.signatures import signed_headers
from receiver.targets import TargetRefused, Targets

KEPT_BYTES = 2048
"""How much of an endpoint's answer is kept with the attempt."""


class Notifier:
    """Handles `deliver` tasks. `secrets` sign, newest first; `send` must not follow redirects."""

    def __init__(
        self,
        store: Store,
        send: Send,
        targets: Targets,
        *,
        clock: Clock,
        announce: Announce,
        secrets: Sequence[bytes],
    ) -> None:
        self._store = store
        self._send = send
        self._targets = targets
        self._clock = clock
        self._announce = announce
        self._secrets = secrets

    async def handle(self, task: Task) -> None:
        """Make one attempt of the delivery of `task`, and note it with what comes next."""
        letter = await deliveries.read_letter(self._store, task.subject)
        if letter is None or letter.state != "pending":
            await self._store.write(work.finish(task))
        elif letter.removed_at is not None:
            await self._settle(task, letter, None, "discarded", reason="its endpoint was removed")
        elif letter.disabled_reason is not None:
            await self._settle(task, letter, None, "dead", reason=letter.disabled_reason)
        elif not self._secrets:
            await self._settle(task, letter, None, "dead", reason="NOTIFY_SECRET is not set: it cannot be signed")
        else:
            await self._attempt(task, letter)

    async def _attempt(self, task: Task, letter: Letter) -> None:
        at = self._clock()
        answer, error = await self._post(letter, at)
        attempted = Attempted(
            at=at,
            latency_ms=self._clock() - at,
            status=None if answer is None else answer.status,
            error=error,
            response=None if answer is None else answer.body[:KEPT_BYTES],
        )
        self._announce(
            "delivery.attempted",
            delivery=letter.delivery_id,
            job=letter.job.id,
            outcome=_outcome(answer),
            status=attempted.status,
            error=error,
            latency_ms=attempted.latency_ms,
        )
        if answer is not None and 200 <= answer.status < 300:
            await self._settle(task, letter, attempted, "delivered")
        elif answer is not None and answer.status == 410:
            self._announce("endpoint.gone", endpoint=letter.endpoint_id, delivery=letter.delivery_id)
            await self._settle(task, letter, attempted, "dead", reason="the endpoint answered 410 Gone", gone=True)
        else:
            await self._retry_or_bury(task, letter, attempted, answer)

    async def _post(self, letter: Letter, at: int) -> tuple[Answer | None, str | None]:
        body = notification(letter)
        headers = signed_headers(letter.delivery_id, body, self._secrets, now=at)
        headers |= {"content-type": "application/json", "user-agent": "renderhook"}
        try:
            self._targets.check_host(urlsplit(letter.endpoint_url).hostname or "")
            return await self._send(Request(method="POST", url=letter.endpoint_url, headers=headers, body=body)), None
        except (NeverSent, Unread, TargetRefused) as error:
            return None, str(error)

    async def _retry_or_bury(self, task: Task, letter: Letter, attempted: Attempted, answer: Answer | None) -> None:
        retry_after = read_retry_after(answer.headers, self._clock()) if answer else None
        delay = next_attempt(task.tries + 1, retry_after)
        if delay is None:
            reason = f"{letter.attempts + 1} attempts failed; the last: {attempted.error or f'HTTP {attempted.status}'}"
            await self._settle(task, letter, attempted, "dead", reason=reason)
        else:
            await self._store.write(deliveries.retry(task, attempted, due_at=self._clock() + delay))

    async def _settle(
        self,
        task: Task,
        letter: Letter,
        attempted: Attempted | None,
        ending: Ending,
        *,
        reason: str | None = None,
        gone: bool = False,
    ) -> None:
        now = self._clock()
        await self._store.write(deliveries.settle(task, attempted, ending, now=now, reason=reason, gone=gone))
        self._announce("delivery.settled", delivery=letter.delivery_id, job=letter.job.id, state=ending, reason=reason)


def notification(letter: Letter) -> bytes:
    """Write the body: the same bytes at every attempt."""
    return msgspec.json.encode(
        {
            "type": letter.event.type,
            "timestamp": rfc3339(letter.event.at),
            "data": {"sequence": letter.event.sequence, "job": view_job_at(letter.job, letter.event)},
        }
    )


def _outcome(answer: Answer | None) -> str:
    return "unanswered" if answer is None else f"{answer.status // 100}xx"
