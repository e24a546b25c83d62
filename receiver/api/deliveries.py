"""The API of deliveries: the dead ones, what was tried, and trying again."""

from typing import Literal, cast

from starlette.requests import Request
from starlette.responses import Response

from ledger.ledger import Ledger
from ledger.requests import AFTER_ALL_IDENTIFIERS
from ledger.rows import Attempt, Delivery
from receiver.api.jobs import answer_json, read_limit
from receiver.views.job import rfc3339
from receiver.web.problems import Problem
from telemetry.emit import Emit


class DeliveriesApi:
    """Answers `/v1/deliveries` and what is below it."""

    def __init__(self, ledger: Ledger, *, emit: Emit) -> None:
        self._ledger = ledger
        self._emit = emit

    async def list(self, request: Request) -> Response:
        """List the deliveries of a job (`?job=`), or those given up (`?state=dead` or `discarded`), newest first."""
        job_id, state = request.query_params.get("job"), request.query_params.get("state")
        if job_id and not state:
            found = await self._ledger.deliveries_of_job(job_id)
            return answer_json({"deliveries": [view_delivery(each) for each in found], "next_cursor": None})
        if state not in {"dead", "discarded"} or job_id:
            raise Problem(400, "ask for ?state=dead, ?state=discarded, or ?job= and a job's id")
        limit = read_limit(request)
        found = await self._ledger.deliveries(
            state=cast("Literal['dead', 'discarded']", state),
            limit=limit + 1,
            before=request.query_params.get("cursor") or AFTER_ALL_IDENTIFIERS,
        )
        page, more = found[:limit], len(found) > limit
        return answer_json(
            {"deliveries": [view_delivery(each) for each in page], "next_cursor": page[-1].id if more else None}
        )

    async def read(self, request: Request) -> Response:
        """Read one delivery with every attempt."""
        delivery = await self._delivery(request)
        attempts = await self._ledger.attempts(delivery.id)
        return answer_json(view_delivery(delivery) | {"attempt_log": [view_attempt(each) for each in attempts]})

    async def replay(self, request: Request) -> Response:
        """Send a dead delivery again, under the same `webhook-id`: 202 when it is due, 409 when it is not dead."""
        delivery = await self._delivery(request)
        if not await self._ledger.replay_delivery(delivery.id):
            raise Problem(409, f"this delivery is {delivery.state}; only a dead one can be replayed")
        self._emit("delivery.replayed", delivery=delivery.id, job=delivery.job_id)
        return answer_json(view_delivery(await self._delivery(request)), status=202)

    async def _delivery(self, request: Request) -> Delivery:
        delivery_id = request.path_params["delivery_id"]
        delivery = await self._ledger.delivery(delivery_id)
        if delivery is None:
            raise Problem(404, f"there is no delivery {delivery_id[:128]!r}")
        return delivery


def view_delivery(delivery: Delivery) -> dict[str, object]:
    """Show a delivery. Times are RFC 3339 UTC; `attempts` counts the POSTs."""
    return {
        "id": delivery.id,
        "job_id": delivery.job_id,
        "sequence": delivery.sequence,
        "endpoint_id": delivery.endpoint_id,
        "state": delivery.state,
        "attempts": delivery.attempts,
        "created_at": rfc3339(delivery.created_at),
        "finalized_at": None if delivery.finalized_at is None else rfc3339(delivery.finalized_at),
        "reason": delivery.reason,
    }


def view_attempt(attempt: Attempt) -> dict[str, object]:
    """Show one POST as it went. `response` is the first 2,048 bytes of the answer, as text."""
    return {
        "number": attempt.number,
        "at": rfc3339(attempt.at),
        "status": attempt.status,
        "latency_ms": attempt.latency_ms,
        "error": attempt.error,
        "response": None if attempt.response is None else attempt.response.decode("utf-8", "replace"),
    }
