"""fal's queue: submit, status, stream, result, cancel. https://fal.ai/docs/api-reference/inference-api"""

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sandbox.bodies import UnusableBodyError, read_object
from sandbox.connections import DropConnection
from sandbox.fal.callbacks import CallbackSender
from sandbox.fal.keys import Keyring
from sandbox.faults import Faults, UnknownFaultError, number
from sandbox.jobs import Job, Jobs, fingerprint
from sandbox.models import failure_of, fal_detail, fal_result

NAMESPACES = ("workflows", "comfy")
"""First segments that are part of an app's name, as in `fal_client.AppId`."""
EARLY_TIMEOUT_SECONDS = 30.0


class FalQueue:
    """The endpoints of queue.fal.run and the JWKS of rest.fal.ai, under /fal."""

    def __init__(self, jobs: Jobs, keyring: Keyring, sender: CallbackSender) -> None:
        self._jobs = jobs
        self._keyring = keyring
        self._sender = sender

    def routes(self) -> list[Route]:
        """Return the routes. Status, result and cancel take the app's name or the full model id."""
        job = "/fal/{app:path}/requests/{request_id}"
        return [
            Route("/fal/.well-known/jwks.json", self.jwks),
            Route(f"{job}/status/stream", self.stream),
            Route(f"{job}/status", self.status),
            Route(f"{job}/response", self.result),
            Route(f"{job}/cancel", self.cancel, methods=["PUT"]),
            Route(job, self.result),
            Route("/fal/{model:path}", self.submit, methods=["POST"]),
        ]

    async def submit(self, request: Request) -> Response:
        """Create a job, unless a fault rejects it, and return its id and URLs."""
        job = await self.begin(request, webhook_url=request.query_params.get("fal_webhook"))
        return job if isinstance(job, Response) else _submitted(job)

    async def begin(self, request: Request, *, webhook_url: str | None) -> Job | Response:
        """Create the job that a request asks for, or return the response that a fault gives it instead."""
        check_key(request)
        model, job_input = request.path_params["model"], await _read_input(request)
        try:
            faults = self._jobs.faults_of(job_input)
        except UnknownFaultError as error:
            raise HTTPException(400, str(error)) from None
        if rejection := self._rejection(model, job_input, faults):
            return rejection
        job = self._jobs.accept(
            "fal",
            str(uuid.uuid4()),
            model,
            job_input,
            faults=faults,
            failure=failure_of(model, job_input, faults),
            base_url=str(request.base_url),
            webhook_url=webhook_url,
        )
        self._sender.schedule(job)
        if "early" in faults:
            with suppress(TimeoutError):
                await asyncio.wait_for(job.called_back.wait(), EARLY_TIMEOUT_SECONDS)
        await asyncio.sleep(number(faults, "slow", 5))
        return DropConnection() if "silent" in faults else job

    def _rejection(self, model: str, job_input: dict[str, Any], faults: Faults) -> Response | None:
        if model.count("/") < 1:
            return JSONResponse({"detail": f"Application {model!r} not found"}, 404)
        key = fingerprint(model, job_input)
        if status := self._jobs.reject(faults, key):
            return _busy(status)
        self._jobs.forget_rejections(key)
        if "refused" in faults:
            detail = {"loc": ["body"], "msg": "The input is rejected", "type": "value_error"}
            return JSONResponse({"detail": [detail]}, 422)
        return None

    async def status(self, request: Request) -> Response:
        """Return the status: 202 until the job has ended, then 200."""
        job = self._find(request)
        if status := self._jobs.reject(job.faults, job.id):
            return _busy(status)
        body = _status(job, logs=request.query_params.get("logs") in {"1", "true"})
        code = 200 if body["status"] == "COMPLETED" else 202
        return JSONResponse(body, code, headers={"x-fal-request-id": job.id})

    async def stream(self, request: Request) -> Response:
        """Send each change of status as a server-sent event, and close after COMPLETED."""
        job = self._find(request)
        logs = request.query_params.get("logs") in {"1", "true"}
        return StreamingResponse(_changes(job, logs=logs), media_type="text/event-stream")

    async def result(self, request: Request) -> Response:
        """Return the model's output, or its error."""
        job = self._find(request)
        if status := self._jobs.reject(job.faults, job.id):
            return _busy(status)
        if not job.ended:
            headers = {"x-fal-request-id": job.id}
            return JSONResponse({"detail": "Request is still in progress"}, 400, headers=headers)
        return outcome_of(job)

    async def cancel(self, request: Request) -> Response:
        """Cancel a job that has not ended. https://fal.ai/docs/inference-api/queue/cancel"""
        job = self._find(request)
        if job.ended:
            return JSONResponse({"status": "ALREADY_COMPLETED"}, 400)
        job.cancel()
        return JSONResponse({"status": "CANCELLATION_REQUESTED"}, 202)

    async def jwks(self, _: Request) -> Response:
        """Return the public keys, as https://rest.fal.ai/.well-known/jwks.json does. No key is needed."""
        if "jwks-down" in self._jobs.faults_for_all or not self._keyring.allow_read():
            return JSONResponse({"detail": "Service Unavailable"}, 503)
        return JSONResponse(self._keyring.jwks())

    def _find(self, request: Request) -> Job:
        check_key(request)
        job = self._jobs.get("fal", request.path_params["request_id"])
        if job is None or request.path_params["app"] not in {job.model, app_of(job.model)}:
            raise UnknownRequestError
        return job


def outcome_of(job: Job) -> Response:
    """Return the output of a job that has ended, or its error."""
    headers = {"x-fal-request-id": job.id}
    if job.canceled:
        return JSONResponse(_CANCELED, 499, headers=headers | {"x-fal-error-type": "client_cancelled"})
    if job.failure:
        return JSONResponse(fal_detail(job.failure), 422, headers=headers)
    return JSONResponse(fal_result(job), headers=headers)


class UnknownRequestError(Exception):
    """No request has this id, or it belongs to another app."""


async def not_found(_: Request, __: Exception) -> Response:
    """Return fal's response for an unknown request."""
    return JSONResponse({"status": "NOT_FOUND"}, 404)


def check_key(request: Request) -> None:
    """Raise HTTPException 401 without `Authorization: Key …`. Any key is valid."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() not in {"key", "bearer"} or not key.strip():
        raise HTTPException(401, "invalid key credentials")


def app_of(model: str) -> str:
    """Shorten a model id to owner and app, which the URLs of a request contain."""
    parts = model.split("/")
    return "/".join(parts[: 3 if parts[0] in NAMESPACES else 2])


async def _read_input(request: Request) -> dict[str, Any]:
    try:
        return await read_object(request)
    except UnusableBodyError as error:
        raise HTTPException(422, str(error)) from None


def _busy(status: int) -> Response:
    if status == 429:
        headers = {"x-fal-needs-retry": "1"}
        return JSONResponse({"detail": "Too many requests", "error_type": "concurrent_requests_limit"}, 429, headers)
    # https://fal.ai/docs/documentation/model-apis/request-errors
    kind = "runner_scheduling_failure"
    return JSONResponse({"detail": "No runner is free", "error_type": kind}, 503, {"x-fal-error-type": kind})


def _submitted(job: Job) -> Response:
    url = _job_url(job)
    queued = {"request_id": job.id, "status": "IN_QUEUE", "queue_position": 0, "gateway_request_id": job.gateway_id}
    urls = {"response_url": url, "status_url": f"{url}/status", "cancel_url": f"{url}/cancel"}
    return JSONResponse(queued | urls, headers={"x-fal-request-id": job.id})


def _job_url(job: Job) -> str:
    return f"{job.base_url}fal/{app_of(job.model)}/requests/{job.id}"


_CANCELED = {"detail": "Request was cancelled by the client", "error_type": "client_cancelled"}


def _status(job: Job, *, logs: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"request_id": job.id, "response_url": _job_url(job)}
    if job.state == "queued":
        return body | {"status": "IN_QUEUE", "queue_position": 0}
    # The key `logs` is always there: the official Python client requires it.
    body["logs"] = [_log_line(job)] if logs and not job.canceled else []
    if job.state == "running":
        return body | {"status": "IN_PROGRESS"}
    body |= {"status": "COMPLETED", "metrics": {"inference_time": round(job.ends_at - job.starts_at, 3)}}
    if job.canceled:
        body |= {"error": _CANCELED["detail"], "error_type": _CANCELED["error_type"]}
    return body


def _log_line(job: Job) -> dict[str, Any]:
    at = datetime.fromtimestamp(job.starts_at, UTC).isoformat().replace("+00:00", "Z")
    return {"message": f"rendering with {job.model}", "timestamp": at, "level": "INFO", "source": "USER"}


async def _changes(job: Job, *, logs: bool) -> AsyncIterator[str]:
    last, sent = None, 0
    while last != "COMPLETED":
        body = _status(job, logs=logs)
        if body["status"] != last:
            last = body["status"]
            if "logs" in body:  # each line once: the JavaScript client hands on what every change has
                lines = body["logs"]
                body["logs"], sent = lines[sent:], len(lines)
            yield f"data: {json.dumps(body)}\n\n"
        next_change = min((at for at in (job.starts_at, job.ends_at) if at > time.time()), default=0.0)
        # A cancel sets no event: poll at least four times a second.
        await asyncio.sleep(min(max(next_change - time.time(), 0.001), 0.25))
