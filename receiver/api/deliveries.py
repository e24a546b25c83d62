"""Deliveries in the HTTP API: list by filter, read with their attempts, and replay."""

from datetime import datetime
from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger.ledger import Ledger
from ledger.requests import AFTER_ALL_IDENTIFIERS, ALWAYS, DeliveryFilter, DeliveryState
from ledger.rows import Delivery
from receiver.api.paging import Limit
from receiver.views.delivery import ReplayedView, view_delivery, view_delivery_detail
from receiver.views.pages import DeliveriesPage
from receiver.views.times import milliseconds
from receiver.web.bodies import check_declared_length, read_body
from receiver.web.json import check_json, json_response
from receiver.web.json_bodies import read_body_as
from receiver.web.problems import Problem, no_job
from receiver.web.queries import NoParameters, read_query
from receiver.web.routing import endpoint
from telemetry.emit import Emit

_TIME = "a time with its zone, such as 2026-11-25T10:00:00Z"
_STATES = "one of pending, delivered, dead, discarded"


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which deliveries: in a query, and as the body of `POST /v1/deliveries/replay`."""

    state: Annotated[DeliveryState | None, msgspec.Meta(description=_STATES)] = None
    job: Annotated[str | None, msgspec.Meta(description="the id of a job")] = None
    endpoint: Annotated[str | None, msgspec.Meta(description="the id of an endpoint")] = None
    since: Annotated[Annotated[datetime, msgspec.Meta(tz=True)] | None, msgspec.Meta(description=_TIME)] = None
    until: Annotated[Annotated[datetime, msgspec.Meta(tz=True)] | None, msgspec.Meta(description=_TIME)] = None


class DeliveriesQuery(Filter, frozen=True, kw_only=True):
    """The query of `GET /v1/deliveries`."""

    limit: Limit = 50
    cursor: Annotated[
        Annotated[str, msgspec.Meta(pattern=r"\Amsg_[0-9a-z_]+\Z")] | None,
        msgspec.Meta(description="the next_cursor of the page before"),
    ] = None


class DeliveriesApi:
    """Answers `/deliveries` and what is below it."""

    def __init__(self, ledger: Ledger, *, emit: Emit, max_body_bytes: int) -> None:
        self._ledger = ledger
        self._emit = emit
        self._max_body_bytes = max_body_bytes
        self.routes = [
            Route("/deliveries", endpoint(get=self.list)),
            Route("/deliveries/replay", endpoint(post=self.replay_all)),
            Route("/deliveries/{delivery_id}", endpoint(get=self.read)),
            Route("/deliveries/{delivery_id}/replay", endpoint(post=self.replay)),
        ]

    async def list(self, request: Request) -> Response:
        """List deliveries, newest first; those of a job in the order of its events."""
        query = read_query(request, DeliveriesQuery)
        wanted = await self._filter(query)
        page = await self._ledger.deliveries(wanted, limit=query.limit, before=query.cursor or AFTER_ALL_IDENTIFIERS)
        views = tuple(map(view_delivery, page.deliveries))
        return json_response(DeliveriesPage(deliveries=views, next_cursor=page.next_cursor))

    async def read(self, request: Request) -> Response:
        """Read one delivery with every attempt."""
        read_query(request, NoParameters)
        delivery = await self._delivery(request)
        return json_response(view_delivery_detail(delivery, await self._ledger.attempts(delivery.id)))

    async def replay(self, request: Request) -> Response:
        """Make a delivery due now, whatever its state, under the same `webhook-id`: 202.

        409 if its endpoint was removed, or if its state changes at the same time.
        """
        read_query(request, NoParameters)
        delivery = await self._delivery(request)
        if not await self._ledger.replay_delivery(delivery):
            found = await self._ledger.endpoint(delivery.endpoint_id)
            removed = found is not None and found.removed_at is not None
            raise Problem(409, "its endpoint was removed" if removed else "its state has just changed; try again")
        self._emit("delivery.replayed", delivery=delivery.id, subject=delivery.subject, state=delivery.state)
        return json_response(view_delivery(await self._delivery(request)), status=202)

    async def replay_all(self, request: Request) -> Response:
        """Replay every delivery that matches the filter in the body: 202 with how many."""
        read_query(request, NoParameters)
        check_json(request)
        check_declared_length(request.scope["headers"], self._max_body_bytes)
        body = await read_body(request.receive, self._max_body_bytes)
        given = read_body_as(Filter, body)
        if given == Filter():
            names = ", ".join(Filter.__struct_fields__)
            raise Problem(422, f"the filter is empty, which would replay everything; give at least one of {names}")
        number = await self._ledger.replay_deliveries(await self._filter(given))
        self._emit("delivery.filter_replayed", number=number, filter=msgspec.to_builtins(given))
        return json_response(ReplayedView(replayed=number), status=202)

    async def _filter(self, given: Filter) -> DeliveryFilter:
        if given.job is not None and await self._ledger.job(given.job) is None:
            raise no_job(given.job)
        if given.endpoint is not None and await self._ledger.endpoint(given.endpoint) is None:
            raise Problem(404, f"there is no endpoint {given.endpoint[:64]!r}")
        return DeliveryFilter(
            state=given.state,
            subject=given.job,
            endpoint_id=given.endpoint,
            since=0 if given.since is None else milliseconds(given.since),
            until=ALWAYS if given.until is None else milliseconds(given.until),
        )

    async def _delivery(self, request: Request) -> Delivery:
        delivery_id = request.path_params["delivery_id"]
        delivery = await self._ledger.delivery(delivery_id)
        if delivery is None:
            raise Problem(404, f"there is no delivery {delivery_id[:128]!r}")
        return delivery
