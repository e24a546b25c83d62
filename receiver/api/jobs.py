"""The API of jobs: create, list, read, and their events."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ledger.ledger import Ledger
from ledger.records import JobState
from ledger.requests import AFTER_ALL_IDENTIFIERS
from ledger.rows import Job
from providers.registry import providers
from receiver.api.job_requests import JobRequests
from receiver.views.job import view_event, view_job, view_receipt
from receiver.web.bodies import check_declared_length, read_body
from receiver.web.problems import Problem
from telemetry.emit import Emit

DEFAULT_PAGE, LONGEST_PAGE = 50, 200


class JobsApi:
    """Answers `/v1/jobs` and what is below it."""

    def __init__(self, ledger: Ledger, requests: JobRequests, *, emit: Emit, max_body_bytes: int) -> None:
        self._ledger = ledger
        self._requests = requests
        self._emit = emit
        self._max_body_bytes = max_body_bytes

    async def create_or_list(self, request: Request) -> Response:
        """Response POST and GET on one address, so that any other method is told of both."""
        return await (self.create if request.method == "POST" else self.list)(request)

    async def create(self, request: Request) -> Response:
        """Accept a job: 202 once it is on disk. The same Idempotency-Key again answers with the same job."""
        _check_json(request)
        check_declared_length(request.scope["headers"], self._max_body_bytes)
        body = await read_body(request.receive, self._max_body_bytes)
        new = self._requests.read(body, request.headers.get("idempotency-key"))
        accepted = await self._ledger.accept(new)
        if not accepted.same_request:
            raise Problem(422, "this Idempotency-Key was used for another request; a new job needs a new key")
        if accepted.new:
            self._emit("job.accepted", job=accepted.job_id, provider=new.provider, model=new.model)
        job = await self._job(accepted.job_id)
        headers = {"Location": f"/v1/jobs/{accepted.job_id}"}
        if not accepted.new:
            headers["Idempotent-Replayed"] = "true"
        return answer_json(view_job(job), status=202, headers=headers)

    async def list(self, request: Request) -> Response:
        """List jobs, newest first; `next_cursor` is null on the last page."""
        limit = read_limit(request)
        found = await self._ledger.jobs(
            limit=limit + 1,
            before=request.query_params.get("cursor") or AFTER_ALL_IDENTIFIERS,
            provider=_provider(request.query_params.get("provider")),
            state=_state(request.query_params.get("state")),
        )
        page = found[:limit]
        return answer_json(
            {"jobs": [view_job(job) for job in page], "next_cursor": page[-1].id if len(found) > limit else None}
        )

    async def read(self, request: Request) -> Response:
        """Read one job."""
        return answer_json(view_job(await self._job(request.path_params["job_id"])))

    async def events(self, request: Request) -> Response:
        """List what happened to a job, in order, after the sequence number `after`."""
        job = await self._job(request.path_params["job_id"])
        text = request.query_params.get("after", "0")
        if not (text.isascii() and text.isdigit() and len(text) < 10):
            raise Problem(400, f"after must be a sequence number, not {text!r}")
        events = await self._ledger.events(job.id, after=int(text))
        return answer_json({"events": [view_event(event) for event in events]})

    async def receipts(self, request: Request) -> Response:
        """List what was verified about a job, with its bytes: also for an orphan, which has receipts and no job."""
        job_id = request.path_params["job_id"]
        receipts = await self._ledger.receipts(job_id)
        if not receipts:
            await self._job(job_id)
        return answer_json({"receipts": [view_receipt(receipt) for receipt in receipts]})

    async def _job(self, job_id: str) -> Job:
        job = await self._ledger.job(job_id)
        if job is None:
            raise Problem(404, f"there is no job {job_id[:64]!r}")
        return job


def _check_json(request: Request) -> None:
    # Also what keeps other web pages out: a browser sends JSON elsewhere only after asking, and we never say yes.
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise Problem(415, f"send a job as application/json, not as {kind[:100] or 'nothing in particular'}")


def read_limit(request: Request) -> int:
    """Read how many rows a page may have. Raises Problem 400."""
    text = request.query_params.get("limit")
    if text is None:
        return DEFAULT_PAGE
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= LONGEST_PAGE):
        raise Problem(400, f"limit must be a number from 1 to {LONGEST_PAGE}, not {text!r}")
    return int(text)


def _state(text: str | None) -> JobState | None:
    if not text:
        return None
    try:
        return JobState(text)
    except ValueError:
        raise Problem(400, f"state must be one of {', '.join(JobState)}, not {text!r}") from None


def _provider(text: str | None) -> str | None:
    if not text:
        return None
    if text not in providers():
        raise Problem(400, f"provider must be one of {', '.join(providers())}, not {text!r}")
    return text


def answer_json(value: object, *, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Response with `value` as JSON."""
    return Response(msgspec.json.encode(value), status_code=status, headers=headers, media_type="application/json")
