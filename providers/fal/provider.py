"""fal as a provider: its account and what the registry finds."""

from collections.abc import Mapping

import msgspec

from providers.fal import polling
from providers.fal.callbacks import FalWebhook, published_keys
from providers.fal.inputs import INPUTS, check_input
from providers.fal.settings import FalSettings
from providers.fal.submission import build_submission, parse_submission
from providers.http import CancelResult, PollResult, Request, Response, SubmitResult
from providers.provider import Context, Job


class FalAccount(msgspec.Struct, frozen=True, kw_only=True):
    """Our account at fal. With a public URL fal calls back, and jobs are polled more rarely; times are in ms."""

    queue_url: str
    key: str
    context: Context
    poll_every: int
    reconcile_every: int
    give_up_after: int

    @property
    def calls_back(self) -> bool:
        """Whether jobs are submitted with a callback URL."""
        return self.context.public_url is not None

    @property
    def poll_interval(self) -> int:
        """FAL_RECONCILE_SECONDS where callbacks are expected, else FAL_POLL_SECONDS."""
        return self.reconcile_every if self.calls_back else self.poll_every

    def submission(self, job: Job) -> Request:
        """Build the request that submits `job`."""
        return build_submission(
            queue_url=self.queue_url,
            model=job.model,
            input_json=job.input.encode(),
            key=self.key,
            webhook_url=self.context.callback_url(job.id),
        )

    def read_submission(self, response: Response) -> SubmitResult:
        """Return whether fal has the job."""
        return parse_submission(response, queue_url=self.queue_url)

    def poll(self, job: Job) -> Request:
        """Build the request for the status of `job`."""
        return polling.build_status(url=job.status_url, **self._request(job))

    def read_poll(self, job: Job, response: Response) -> PollResult:
        """Return the status of `job`; when it has completed, its result is asked for next."""
        return polling.parse_status(response, polling.build_result(url=job.response_url, **self._request(job)))

    def cancel(self, job: Job) -> Request:
        """Build the request that cancels `job`."""
        return polling.build_cancel(url=job.cancel_url, **self._request(job))

    def read_cancel(self, response: Response) -> CancelResult:
        """Return what a cancel did."""
        return polling.parse_cancel(response)

    def warning(self, response: Response) -> str | None:  # noqa: ARG002 - the interface's shape; fal announces nothing
        """Return None: fal's responses announce nothing."""
        return None

    def _request(self, job: Job) -> dict[str, str]:
        request_id = job.provider_request_id or ""
        return {"queue_url": self.queue_url, "model": job.model, "request_id": request_id, "key": self.key}


class Fal:
    """fal."""

    name = "fal"
    settings = FalSettings
    missing = "FAL_KEY"
    models = tuple(INPUTS)

    def check_input(self, model: str, fields: Mapping[str, object]) -> None:
        """Raise `InputRefused` for what is not a model id, and for a wrong input of a face-swap model."""
        check_input(model, fields)

    def open(self, settings: FalSettings, context: Context) -> FalAccount | None:
        """Return our account; None without FAL_KEY."""
        if settings.fal_key is None:
            return None
        return FalAccount(
            queue_url=settings.fal_queue_url,
            key=settings.fal_key,
            context=context,
            poll_every=round(settings.fal_poll_seconds * 1000),
            reconcile_every=round(settings.fal_reconcile_seconds * 1000),
            give_up_after=round(settings.fal_timeout_seconds * 1000),
        )

    def webhook(self, settings: FalSettings) -> FalWebhook:
        """Return how fal's callbacks are verified."""
        return FalWebhook(
            user_id=settings.fal_webhook_user_id,
            tolerance_seconds=settings.fal_webhook_tolerance_seconds,
            keys=published_keys(settings.fal_jwks_url),
        )


PROVIDER = Fal()
