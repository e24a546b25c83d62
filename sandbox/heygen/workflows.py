"""HeyGen's workflow executions. They send no callbacks and have to be polled."""

import asyncio
import time
import uuid
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.bodies import UnusableBodyError, read_object
from sandbox.connections import DropConnection
from sandbox.faults import Faults, UnknownFaultError, number
from sandbox.jobs import Job, Jobs, fingerprint
from sandbox.models import failure_of, heygen_output, missing_fields

URL_LIFETIME_SECONDS = 86_400


class HeyGen:
    """POST and GET /v1/workflows/executions of api.heygen.com, under /heygen."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    def routes(self) -> list[Route]:
        """Return the routes. HeyGen documents no list, cancel or webhook for executions."""
        path = "/heygen/v1/workflows/executions"
        return [
            Route(path, self.submit, methods=["POST"]),
            Route(f"{path}/{{execution_id}}", self.read),
        ]

    async def submit(self, request: Request) -> Response:
        """Start an execution."""
        if not request.headers.get("x-api-key"):
            return _error(401, "unauthorized", "X-Api-Key is missing")
        workflow, job_input = await _read_workflow(request)
        try:
            faults = self._jobs.faults_of(job_input)
        except UnknownFaultError as error:
            return _error(400, "invalid_parameter", str(error))
        if rejection := self._rejection(workflow, job_input, faults):
            return rejection
        job = self._jobs.accept(
            "heygen",
            f"node-gw-{uuid.uuid4().hex[:8]}",
            workflow,
            job_input,
            faults=faults,
            failure=failure_of(workflow, job_input, faults),
            base_url=str(request.base_url),
        )
        await asyncio.sleep(number(faults, "slow", 5))
        if "silent" in faults:
            return DropConnection()
        return _data({"execution_id": job.id, "status": "submitted"}, faults)

    async def read(self, request: Request) -> Response:
        """Return an execution's status. The URL of its output has a new signature in each response."""
        if not request.headers.get("x-api-key"):
            return _error(401, "unauthorized", "X-Api-Key is missing")
        execution_id = request.path_params["execution_id"]
        job = self._jobs.get("heygen", execution_id)
        if job is None:
            return _data({"execution_id": execution_id, "status": "not_found"}, {})
        if status := self._jobs.reject(job.faults, job.id):
            return _busy(status)
        return _data({"execution_id": job.id} | _progress(job), job.faults)

    def _rejection(self, workflow: str, job_input: dict[str, Any], faults: Faults) -> Response | None:
        key = fingerprint(workflow, job_input)
        if status := self._jobs.reject(faults, key):
            return _busy(status)
        self._jobs.forget_rejections(key)
        if missing := missing_fields(workflow, job_input):
            return _error(400, "invalid_parameter", f"input.{missing[0]} is required")
        if "refused" in faults:
            return _error(400, "invalid_parameter", "The input is rejected")
        return None


def _progress(job: Job) -> dict[str, Any]:
    match job.state:
        case "queued":
            return {"status": "pending"}
        case "running":
            return {"status": "processing"}
        case "completed":
            expires = int(time.time()) + URL_LIFETIME_SECONDS
            query = f"Expires={expires}&Signature={uuid.uuid4().hex}&Key-Pair-Id=sandbox"
            return {"status": "completed", "output": heygen_output(job, query)}
        case _:
            assert job.failure
            return {"status": "failed", "error": {"type": job.failure.kind, "message": job.failure.message}}


async def _read_workflow(request: Request) -> tuple[str, dict[str, Any]]:
    try:
        body = await read_object(request)
    except UnusableBodyError as error:
        raise HTTPException(400, str(error)) from None
    if not isinstance(body.get("workflow_type"), str):
        raise HTTPException(400, "workflow_type is required")
    job_input = body.get("input")
    return body["workflow_type"], job_input if isinstance(job_input, dict) else {}


def _data(data: dict[str, Any], faults: Faults) -> Response:
    headers = {"Deprecation": "true", "Sunset": "Sat, 31 Oct 2026 00:00:00 GMT"} if "sunset" in faults else None
    return JSONResponse({"data": data}, headers=headers)


def _error(status: int, code: str, message: str) -> Response:
    return JSONResponse({"data": None, "error": {"code": code, "message": message}}, status)


def _busy(status: int) -> Response:
    if status == 429:
        response = _error(429, "rate_limit_exceeded", "Too many requests")
        response.headers["Retry-After"] = "1"
        return response
    return _error(503, "service_unavailable", "Try again later")
