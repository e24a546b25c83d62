"""Jobs in the HTTP API: create, list, read, and their events and receipts."""

from typing import Annotated

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger.ledger import Ledger
from ledger.records import JobState
from ledger.requests import AFTER_ALL_IDENTIFIERS
from ledger.rows import Job
from providers.registry import providers
from receiver.api.job_requests import JobRequests
from receiver.api.paging import Paging, cut_page
from receiver.views.history import view_event, view_receipt
from receiver.views.job import view_job
from receiver.views.pages import EventsList, JobsPage, ReceiptsList
from receiver.web.bodies import check_declared_length, read_body
from receiver.web.json import check_json, json_response
from receiver.web.problems import Problem, no_job
from receiver.web.queries import NoParameters, parameter_problem, read_query
from receiver.web.routing import endpoint
from telemetry.emit import Emit
from work.off_loop import run_off_loop


class JobsQuery(Paging, frozen=True, kw_only=True):
    """The query of `GET /v1/jobs`."""

    cursor: Annotated[
        Annotated[str, msgspec.Meta(pattern=r"\Ajob_[0-9a-z]+\Z")] | None,
        msgspec.Meta(description="the next_cursor of the page before"),
    ] = None
    state: Annotated[JobState | None, msgspec.Meta(description=f"one of {', '.join(JobState)}")] = None
    provider: Annotated[str | None, msgspec.Meta(description="the name of a provider")] = None


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The query of `GET /v1/jobs/{id}/events`."""

    after: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31, description="the sequence number of an event")] = 0


class JobsApi:
    """Answers `/jobs` and what is below it."""

    def __init__(self, ledger: Ledger, requests: JobRequests, *, emit: Emit, max_body_bytes: int) -> None:
        self._ledger = ledger
        self._requests = requests
        self._emit = emit
        self._max_body_bytes = max_body_bytes
        self.routes = [
            Route("/jobs", endpoint(get=self.list, post=self.create)),
            Route("/jobs/{job_id}", endpoint(get=self.read)),
            Route("/jobs/{job_id}/input", endpoint(get=self.input)),
            Route("/jobs/{job_id}/events", endpoint(get=self.events)),
            Route("/jobs/{job_id}/receipts", endpoint(get=self.receipts)),
        ]

    async def create(self, request: Request) -> Response:
        """Accept a job: 202 once it is durable. The same Idempotency-Key again answers with the same job."""
        read_query(request, NoParameters)
        check_json(request)
        check_declared_length(request.scope["headers"], self._max_body_bytes)
        body = await read_body(request.receive, self._max_body_bytes)
        new = await run_off_loop(len(body), self._requests.read, body, request.headers.get("idempotency-key"))
        accepted = await self._ledger.accept(new)
        if not accepted.same_request:
            raise Problem(422, "this Idempotency-Key was used for another request; a new job needs a new key")
        if accepted.new:
            self._emit("job.accepted", job=accepted.job_id, provider=new.provider, model=new.model)
        job = await self._job(accepted.job_id)
        headers = {"Location": f"/v1/jobs/{accepted.job_id}"}
        if not accepted.new:
            headers["Idempotent-Replayed"] = "true"
        return json_response(view_job(job), status=202, headers=headers)

    async def list(self, request: Request) -> Response:
        """List jobs, newest first."""
        query = read_query(request, JobsQuery)
        if query.provider is not None and query.provider not in providers():
            raise parameter_problem(
                "provider", f"must be one of {', '.join(providers())}, not {query.provider[:100]!r}"
            )
        found = await self._ledger.jobs(
            limit=query.limit + 1,
            before=query.cursor or AFTER_ALL_IDENTIFIERS,
            provider=query.provider,
            state=query.state,
        )
        page, next_cursor = cut_page(found, query.limit)
        return json_response(JobsPage(jobs=tuple(map(view_job, page)), next_cursor=next_cursor))

    async def read(self, request: Request) -> Response:
        """Read one job."""
        read_query(request, NoParameters)
        return json_response(view_job(await self._job(request.path_params["job_id"])))

    async def input(self, request: Request) -> Response:
        """Read the whole input of a job, byte for byte as it was posted."""
        read_query(request, NoParameters)
        job_id = request.path_params["job_id"]
        found = await self._ledger.input(job_id)
        if found is None:
            raise no_job(job_id)
        return Response(found, media_type="application/json")

    async def events(self, request: Request) -> Response:
        """List the events of a job, in order, with sequence numbers above `after`."""
        query = read_query(request, EventsQuery)
        job = await self._job(request.path_params["job_id"])
        events = await self._ledger.events(job.id, after=query.after)
        return json_response(EventsList(events=tuple(map(view_event, events))))

    async def receipts(self, request: Request) -> Response:
        """List the receipts that name a job, oldest first. An orphan has receipts although there is no job."""
        read_query(request, NoParameters)
        job_id = request.path_params["job_id"]
        receipts = await self._ledger.receipts(job_id)
        if not receipts:
            await self._job(job_id)
        return json_response(ReceiptsList(receipts=tuple(map(view_receipt, receipts))))

    async def _job(self, job_id: str) -> Job:
        job = await self._ledger.job(job_id)
        if job is None:
            raise no_job(job_id)
        return job
