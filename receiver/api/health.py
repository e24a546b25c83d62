"""Liveness, readiness and metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger.errors import LedgerError
from ledger.ledger import Ledger
from receiver.views.status import StatusView
from receiver.web.json import json_response
from receiver.web.problems import database_reason
from receiver.web.routing import endpoint
from telemetry.emit import Emit


class Health:
    """Answers `/healthz`, `/readyz` and `/metrics`. `stopped_workers` returns the names of those that do not run."""

    def __init__(
        self, ledger: Ledger, registry: CollectorRegistry, *, stopped_workers: Callable[[], list[str]], emit: Emit
    ) -> None:
        self._ledger = ledger
        self._emit = emit
        self._ready = True
        self._registry = registry
        self._needs_attention = Gauge(
            "renderhook_needs_attention",
            "Dead, discarded and paused deliveries, and conflict and orphan receipts, for an operator to see.",
            ["what"],
            registry=registry,
        )
        self._stopped_workers = stopped_workers
        self.routes = [
            Route("/healthz", endpoint(get=self.alive)),
            Route("/readyz", endpoint(get=self.ready)),
        ]
        self.metrics_route = Route("/metrics", endpoint(get=self.metrics))

    async def alive(self, _: Request) -> Response:
        """Answer that the process responds. Neither disk nor database is used."""
        return json_response(StatusView(status="alive"))

    async def ready(self, _: Request) -> Response:
        """Answer whether callbacks are recorded and jobs worked on: the database commits and every worker runs."""
        stopped = self._stopped_workers()
        if stopped:
            return self._not_ready(f"not running: {', '.join(stopped)}")
        try:
            await self._ledger.prove_writable()
        except LedgerError as error:
            return self._not_ready(database_reason(error), error=str(error))
        if not self._ready:
            self._ready = True
            self._emit("receiver.became_ready")
        return json_response(StatusView(status="ready"))

    def _not_ready(self, reason: str, **fields: object) -> Response:
        if self._ready:
            self._ready = False
            self._emit("receiver.became_unready", reason=reason, **fields)
        return json_response(StatusView(status=reason), status=503)

    async def metrics(self, _: Request) -> Response:
        """Answer with the metrics in Prometheus' text format. What needs attention is counted in the database."""
        for what, number in (await self._ledger.count_needing_attention()).items():
            self._needs_attention.labels(what).set(number)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)
