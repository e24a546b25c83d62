"""Our account at each provider: how to ask, how often to look, when to give up."""

from typing import Protocol

import msgspec

from ledger.records import ProviderName
from ledger.rows import Job
from providers.callback_tokens import CallbackTokens
from providers.fal import polling as fal_lookups
from providers.fal import submission as fal_submission
from providers.heygen import polling as heygen_lookups
from providers.heygen import submission as heygen_submission
from providers.heygen.sunset import sunset_warning
from providers.http import PollResult, Request, Response, SubmitResult


class Account(Protocol):
    """What submitting and checking need to know of a provider. Times are milliseconds."""

    @property
    def provider(self) -> ProviderName:
        """Whose account this is."""

    @property
    def calls_back(self) -> bool:
        """Whether the provider tells us by itself when a job ends."""

    @property
    def poll_interval(self) -> int:
        """How long after submitting to look first, and then again."""

    @property
    def give_up_after(self) -> int:
        """How long after submitting a job that has not ended is expired."""

    def submission(self, job: Job) -> Request:
        """Build the request that submits `job`."""

    def read_submission(self, answer: Response) -> SubmitResult:
        """Say what the answer to a submission means."""

    def check(self, job: Job) -> Request:
        """Build the request that asks how a submitted `job` is."""

    def read_poll(self, answer: Response) -> PollResult:
        """Say what the answer to a check means."""

    def result(self, job: Job) -> Request:
        """Build the request that fetches the result of `job`; asked after `ResultReady`."""

    def read_result(self, answer: Response) -> PollResult:
        """Say what the answer to a result request means."""

    def warning(self, answer: Response) -> str | None:
        """Say what an operator should know of this answer, if anything."""


class FalAccount(msgspec.Struct, frozen=True, kw_only=True):
    """fal: calls back where `public_url` says, and is polled besides, or only polled without one."""

    queue_url: str
    key: str
    tokens: CallbackTokens
    public_url: str | None
    poll_every: int
    reconcile_every: int
    give_up_after: int
    provider: ProviderName = "fal"

    @property
    def calls_back(self) -> bool:
        """See `Account`."""
        return self.public_url is not None

    @property
    def poll_interval(self) -> int:
        """See `Account`."""
        return self.reconcile_every if self.calls_back else self.poll_every

    def submission(self, job: Job) -> Request:
        """See `Account`."""
        webhook_url = f"{self.public_url}/callbacks/fal/{self.tokens.sign(job.id)}" if self.public_url else None
        return fal_submission.build_submission(
            queue_url=self.queue_url,
            model=job.model,
            input_json=job.input.encode(),
            key=self.key,
            webhook_url=webhook_url,
        )

    def read_submission(self, answer: Response) -> SubmitResult:
        """See `Account`."""
        return fal_submission.parse_submission(answer, queue_url=self.queue_url)

    def check(self, job: Job) -> Request:
        """See `Account`."""
        return fal_lookups.build_status(
            queue_url=self.queue_url,
            model=job.model,
            request_id=job.provider_request_id or "",
            url=job.status_url,
            key=self.key,
        )

    def read_poll(self, answer: Response) -> PollResult:
        """See `Account`."""
        return fal_lookups.parse_status(answer)

    def result(self, job: Job) -> Request:
        """See `Account`."""
        return fal_lookups.build_result(
            queue_url=self.queue_url,
            model=job.model,
            request_id=job.provider_request_id or "",
            url=job.response_url,
            key=self.key,
        )

    def read_result(self, answer: Response) -> PollResult:
        """See `Account`."""
        return fal_lookups.parse_result(answer)

    def warning(self, answer: Response) -> str | None:  # noqa: ARG002 - the protocol's shape; fal announces nothing in its answers
        """See `Account`."""
        return None


class HeygenAccount(msgspec.Struct, frozen=True, kw_only=True):
    """HeyGen: calls nobody back for workflows, and is polled."""

    api_url: str
    path: str = "/v1/workflows/executions"
    key: str
    poll_every: int
    give_up_after: int
    provider: ProviderName = "heygen"
    calls_back: bool = False

    @property
    def poll_interval(self) -> int:
        """See `Account`."""
        return self.poll_every

    def submission(self, job: Job) -> Request:
        """See `Account`."""
        return heygen_submission.build_submission(
            api_url=self.api_url,
            path=self.path,
            workflow_type=job.model,
            input_json=job.input.encode(),
            key=self.key,
        )

    def read_submission(self, answer: Response) -> SubmitResult:
        """See `Account`."""
        return heygen_submission.parse_submission(answer)

    def check(self, job: Job) -> Request:
        """See `Account`."""
        return heygen_lookups.build_status(
            api_url=self.api_url, path=self.path, execution_id=job.provider_request_id or "", key=self.key
        )

    def read_poll(self, answer: Response) -> PollResult:
        """See `Account`."""
        return heygen_lookups.parse_status(answer)

    def result(self, job: Job) -> Request:
        """See `Account`. A finished execution carries its result: the check is the result."""
        return self.check(job)

    def read_result(self, answer: Response) -> PollResult:
        """See `Account`."""
        return self.read_poll(answer)

    def warning(self, answer: Response) -> str | None:
        """See `Account`. HeyGen has announced the end of this API in headers."""
        return sunset_warning(answer)
