"""Liveness, readiness and metrics."""

from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger.errors import DiskFull, FileLost, LedgerError, Overloaded, Unanswered
from ledger.ledger import Ledger
from receiver.views.status import StatusView
from receiver.web.json import json_response
from receiver.web.routing import endpoint
from telemetry.emit import Emit
from telemetry.version import VERSION

_REASONS: Mapping[type[LedgerError], str] = {
    DiskFull: "the disk of the database is full",
    FileLost: "the file of the database was deleted or replaced",
    Overloaded: "too many writes to the database wait",
    Unanswered: "the database did not confirm a write",
    LedgerError: "the database is not available",
}


class Health:
    """Answers `/healthz`, `/readyz` and `/metrics`. `stopped_workers` returns the names of those that do not run."""

    def __init__(
        self, ledger: Ledger, registry: CollectorRegistry, *, stopped_workers: Callable[[], list[str]], emit: Emit
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._needs_attention = Gauge(
            "renderhook_needs_attention",
            "Dead, discarded and paused deliveries, conflict and orphan receipts, held jobs: for an operator to see.",
            ["what"],
            registry=registry,
        )
        self._stopped_workers = stopped_workers
        self._emit = emit
        self._unready: str | None = None
        self.routes = [
            Route("/healthz", endpoint(get=self.alive)),
            Route("/readyz", endpoint(get=self.ready)),
        ]
        self.metrics_route = Route("/metrics", endpoint(get=self.metrics))

    async def alive(self, _: Request) -> Response:
        """Answer that the process responds. Neither disk nor database is used."""
        return json_response(StatusView(status="alive", version=VERSION))

    async def ready(self, _: Request) -> Response:
        """Answer whether callbacks are recorded and jobs worked on: the database commits and every worker runs."""
        reason, detail = await self._why_not_ready()
        if reason != self._unready:  # a change is logged once, however often this is asked
            self._emit("receiver.became_ready") if reason is None else self._emit(
                "receiver.became_unready", reason=reason, detail=detail
            )
            self._unready = reason
        if reason is not None:
            return json_response(StatusView(status=reason), status=503)
        return json_response(StatusView(status="ready"))

    async def _why_not_ready(self) -> tuple[str | None, str]:
        """Return the reason for everybody, None if ready, and what only the log has: it may name files and hosts."""
        stopped = self._stopped_workers()
        if stopped:
            return f"not running: {', '.join(stopped)}", ""
        try:
            await self._ledger.prove_writable()
        except LedgerError as error:
            return next(words for kind, words in _REASONS.items() if isinstance(error, kind)), str(error)
        return None, ""

    async def metrics(self, _: Request) -> Response:
        """Answer with the metrics in Prometheus' text format. What needs attention is counted in the database."""
        for what, number in (await self._ledger.count_needing_attention()).items():
            self._needs_attention.labels(what).set(number)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
