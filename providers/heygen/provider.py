"""HeyGen as a provider: its account and what the registry finds."""

from collections.abc import Mapping

import msgspec

from providers.heygen.inputs import INPUTS, check_input
from providers.heygen.polling import build_status, parse_status
from providers.heygen.settings import HeygenSettings
from providers.heygen.submission import build_submission, parse_submission
from providers.heygen.sunset import sunset_warning
from providers.http import CancelResult, PollResult, Request, Response, SubmitResult
from providers.provider import Context, Job


class HeygenAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Our account at HeyGen, which sends no callbacks for workflows. Times are in ms."""

    api_url: str
    path: str
    key: str
    poll_interval: int
    give_up_after: int
    calls_back: bool = False

    def submission(self, job: Job) -> Request:
        """Build the request that starts the workflow of `job`."""
        return build_submission(
            api_url=self.api_url,
            path=self.path,
            workflow_type=job.model,
            input_json=job.input.encode(),
            key=self.key,
        )

    def read_submission(self, response: Response) -> SubmitResult:
        """Return whether HeyGen has the job."""
        return parse_submission(response)

    def poll(self, job: Job) -> Request:
        """Build the request for the status and result of `job`."""
        execution_id = job.provider_request_id or ""
        return build_status(api_url=self.api_url, path=self.path, execution_id=execution_id, key=self.key)

    def read_poll(self, job: Job, response: Response) -> PollResult:  # noqa: ARG002 - the interface's shape; one response has it all
        """Return the status and result of `job`."""
        return parse_status(response)

    def cancel(self, job: Job) -> None:
        """Return None: HeyGen documents no way to cancel an execution."""

    def read_cancel(self, response: Response) -> CancelResult:  # noqa: ARG002 - of the interface; none is sent
        """Return `REFUSED`: no cancel is ever sent."""
        return CancelResult.REFUSED

    def warning(self, response: Response) -> str | None:
        """Return the announcement that this API is ending, if the response has one."""
        return sunset_warning(response)


class Heygen:
    """HeyGen."""

    name = "heygen"
    settings = HeygenSettings
    missing = "HEYGEN_API_KEY"
    models = tuple(INPUTS)

    def check_input(self, model: str, fields: Mapping[str, object]) -> None:
        """Raise `InputRefused` for what is not a workflow type, and for a wrong input of a known workflow."""
        check_input(model, fields)

    def open(self, settings: HeygenSettings, context: Context) -> HeygenAccount | None:  # noqa: ARG002 - workflows have no callbacks
        """Return our account; None without HEYGEN_API_KEY."""
        if settings.heygen_api_key is None:
            return None
        return HeygenAccount(
            api_url=settings.heygen_api_url,
            path=settings.heygen_api_path,
            key=settings.heygen_api_key,
            poll_interval=round(settings.heygen_poll_seconds * 1000),
            give_up_after=round(settings.heygen_timeout_seconds * 1000),
        )

    def webhook(self, settings: HeygenSettings) -> None:
        """Return None: workflows send no callbacks."""


PROVIDER = Heygen()
