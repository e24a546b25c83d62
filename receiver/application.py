"""Composes the web application from the settings."""

from collections.abc import Callable, Collection, Mapping

from prometheus_client import CollectorRegistry

from ledger.clock import Clock, wall_clock
from ledger.ledger import Ledger
from outbound.targets import Targets
from providers.callback_tokens import CallbackTokens
from receiver.api.deliveries import DeliveriesApi
from receiver.api.health import Health
from receiver.api.job_requests import JobRequests
from receiver.api.jobs import JobsApi
from receiver.callbacks.application import Callbacks
from receiver.callbacks.sources import Source
from receiver.settings import Settings
from receiver.web.app import App
from telemetry.emit import Emit


def compose_application(
    settings: Settings,
    ledger: Ledger,
    *,
    sources: Mapping[str, Source],
    tokens: CallbackTokens,
    providers: Collection[str],
    targets: Targets,
    registry: CollectorRegistry,
    stopped_workers: Callable[[], list[str]],
    emit: Emit,
    clock: Clock = wall_clock,
) -> App:
    """Make the application. `providers` are those with an account; `sources` verify callbacks."""
    requests = JobRequests(
        providers=providers,
        targets=targets,
        signing=bool(settings.notify_secret),
    )
    jobs = JobsApi(ledger, requests, emit=emit, max_body_bytes=settings.max_body_bytes)
    deliveries = DeliveriesApi(ledger, emit=emit)
    health = Health(ledger, registry, stopped_workers=stopped_workers, emit=emit)
    return App(
        callbacks=Callbacks(
            ledger, sources, tokens, clock=clock, emit=emit, max_result_bytes=settings.max_result_bytes
        ),
        v1=[*jobs.routes, *deliveries.routes],
        guarded=[health.metrics_route],
        unguarded=health.routes,
        api_keys=settings.api_key,
        emit=emit,
    )
