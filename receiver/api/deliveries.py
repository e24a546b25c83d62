"""Deliveries in the HTTP API: list, read with their attempts, and replay."""

from typing import Annotated, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger.ledger import Ledger
from ledger.requests import AFTER_ALL_IDENTIFIERS
from ledger.rows import Delivery
from receiver.api.paging import Paging, cut_page
from receiver.views.delivery import view_delivery, view_delivery_detail
from receiver.views.pages import DeliveriesPage
from receiver.web.json import json_response
from receiver.web.problems import Problem
from receiver.web.queries import NoParameters, read_query
from receiver.web.routing import endpoint
from telemetry.emit import Emit


class DeliveriesQuery(Paging, frozen=True, kw_only=True):
    """The query of `GET /v1/deliveries`."""

    state: Annotated[Literal["dead", "discarded"] | None, msgspec.Meta(description="one of dead, discarded")] = None
    job: Annotated[str | None, msgspec.Meta(description="the id of a job")] = None


class DeliveriesApi:
    """Answers `/deliveries` and what is below it."""

    def __init__(self, ledger: Ledger, *, emit: Emit) -> None:
        self._ledger = ledger
        self._emit = emit
        self.routes = [
            Route("/deliveries", endpoint(get=self.list)),
            Route("/deliveries/{delivery_id}", endpoint(get=self.read)),
            Route("/deliveries/{delivery_id}/replay", endpoint(post=self.replay)),
        ]

    async def list(self, request: Request) -> Response:
        """List the deliveries of a job in the order of its events, or the dead or discarded ones, newest first."""
        query = read_query(request, DeliveriesQuery)
        if (query.job is None) == (query.state is None):
            raise Problem(400, "give state=dead, state=discarded, or job= and a job's id")
        if query.job is not None:
            found = await self._ledger.deliveries_of_job(query.job)
            return json_response(DeliveriesPage(deliveries=tuple(map(view_delivery, found)), next_cursor=None))
        assert query.state is not None
        before = query.cursor or AFTER_ALL_IDENTIFIERS
        found = await self._ledger.deliveries(state=query.state, limit=query.limit + 1, before=before)
        page, next_cursor = cut_page(found, query.limit)
        return json_response(DeliveriesPage(deliveries=tuple(map(view_delivery, page)), next_cursor=next_cursor))

    async def read(self, request: Request) -> Response:
        """Read one delivery with every attempt."""
        read_query(request, NoParameters)
        delivery = await self._delivery(request)
        return json_response(view_delivery_detail(delivery, await self._ledger.attempts(delivery.id)))

    async def replay(self, request: Request) -> Response:
        """Make a dead delivery pending again under the same `webhook-id`: 202, or 409 when it is not dead."""
        read_query(request, NoParameters)
        delivery = await self._delivery(request)
        if not await self._ledger.replay_delivery(delivery.id):
            raise Problem(409, f"this delivery is {delivery.state}; only a dead one can be replayed")
        self._emit("delivery.replayed", delivery=delivery.id, subject=delivery.subject)
        return json_response(view_delivery(await self._delivery(request)), status=202)

    async def _delivery(self, request: Request) -> Delivery:
        delivery_id = request.path_params["delivery_id"]
        delivery = await self._ledger.delivery(delivery_id)
        if delivery is None:
            raise Problem(404, f"there is no delivery {delivery_id[:128]!r}")
        return delivery
