"""Whether we live, whether we can work, and the metrics."""

from collections.abc import Callable

import msgspec
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from ledger.errors import LedgerError
from ledger.ledger import Ledger


class Health:
    """Answers `/healthz`, `/readyz` and `/metrics`. `stopped_workers` names those that do not run."""

    def __init__(
        self, ledger: Ledger, registry: CollectorRegistry, *, stopped_workers: Callable[[], list[str]]
    ) -> None:
        self._ledger = ledger
        self._registry = registry
        self._to_look_at = Gauge(
            "renderhook_needs_attention",
            "Deliveries given up, and verified reports that changed nothing, for an operator to see",
            ["what"],
            registry=registry,
        )
        self._stopped_workers = stopped_workers

    async def alive(self, _: Request) -> Response:
        """Say that the process answers. Nothing is asked of the disk."""
        return _status(200, "alive")

    async def ready(self, _: Request) -> Response:
        """Say whether a callback would be recorded and a job carried on: the ledger commits, every worker runs."""
        stopped = self._stopped_workers()
        if stopped:
            return _status(503, f"not working: {', '.join(stopped)}")
        try:
            await self._ledger.prove_writable()
        except LedgerError as error:
            return _status(503, str(error))
        return _status(200, "ready")

    async def metrics(self, _: Request) -> Response:
        """Show the metrics in Prometheus' text format. What an operator must look at is counted in the ledger."""
        for word, number in (await self._ledger.count_needing_attention()).items():
            self._to_look_at.labels(word).set(number)
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)


def _status(code: int, word: str) -> Response:
    return Response(msgspec.json.encode({"status": word}), status_code=code, media_type="application/json")
