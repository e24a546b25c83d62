"""Endpoints that providers do not have: the sandbox's jobs, and faults that are set while it runs."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sandbox.bodies import read_object
from sandbox.fal.keys import Keyring
from sandbox.faults import UnknownFaultError, parse_faults
from sandbox.jobs import Job, Jobs


class Inspection:
    """The endpoints under /sandbox, for tests and the demo. They need no key."""

    def __init__(self, jobs: Jobs, keyring: Keyring) -> None:
        self._jobs = jobs
        self._keyring = keyring

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route("/sandbox/submissions", self.submissions),
            Route("/sandbox/faults", self.set_faults, methods=["POST"]),
            Route("/sandbox/rotate-key", self.rotate_key, methods=["POST"]),
        ]

    async def submissions(self, _: Request) -> Response:
        """List every billed job with the attempts of its callbacks, oldest first. Times are seconds since the epoch."""
        return JSONResponse([_submission(job) for job in self._jobs])

    async def set_faults(self, request: Request) -> Response:
        """Set the faults of all later jobs to those of `{"faults": "late,5xx=1"}`; an empty text clears them."""
        try:
            self._jobs.faults_for_all = parse_faults((await read_object(request))["faults"])
        except (UnknownFaultError, ValueError, LookupError, AttributeError) as error:
            return JSONResponse({"detail": str(error)}, 400)
        return JSONResponse({"faults": dict(self._jobs.faults_for_all)})

    async def rotate_key(self, _: Request) -> Response:
        """Sign with a new key from now on, and return the JWKS."""
        self._keyring.rotate()
        return JSONResponse(self._keyring.jwks())


def _submission(job: Job) -> dict[str, Any]:
    return {
        "provider": job.provider,
        "id": job.id,
        "model": job.model,
        "input": job.input,
        "webhook_url": job.webhook_url,
        "state": job.state,
        "submitted_at": job.submitted_at,
        "canceled": job.canceled,
        "callbacks": job.callbacks,
    }
