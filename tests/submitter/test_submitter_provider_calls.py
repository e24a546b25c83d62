"""An exception of a provider's code loses neither the job nor what was paid for, and the job says what happened."""

import pytest

from ledger.records import Fault, JobState
from providers.fal.provider import FalAccount
from providers.http import PollResult, Request, Response, SubmitResult
from providers.provider import Job
from submitter.poll import Poller
from submitter.submit import Submitter
from tests.database import ON_BOTH_DATABASES
from tests.submitter.harness import LEASE, Harness, Script, accepted, fal_account, response

pytestmark = ON_BOTH_DATABASES

SECRET = "kid:secret"


class Raising(FalAccount, frozen=True, kw_only=True):
    """An account whose method `raises` has a mistake."""

    raises: str = ""

    def _check(self, step: str) -> None:
        if step == self.raises:
            raise KeyError(SECRET)

    def submission(self, job: Job) -> Request:
        self._check("submission")
        return super().submission(job)

    def read_submission(self, response: Response) -> SubmitResult:
        self._check("read_submission")
        return super().read_submission(response)

    def poll(self, job: Job) -> Request:
        self._check("poll")
        return super().poll(job)

    def read_poll(self, job: Job, response: Response) -> PollResult:
        self._check("read_poll")
        return super().read_poll(job, response)

    def warning(self, response: Response) -> str | None:
        self._check("warning")
        return super().warning(response)


def raising(step: str) -> Raising:
    account = fal_account()
    return Raising(**{name: getattr(account, name) for name in account.__struct_fields__}, raises=step)


async def submit(harness: Harness, step: str, script: Script) -> None:
    submitter = Submitter(
        harness.ledger,
        {"fal": raising(step)},
        script,
        clock=harness.clock,
        emit=harness.emitted,
        resubmit="never",
        claim_ms=LEASE,
        give_up_after=86_400_000,
    )
    [task] = await harness.due("submit")
    await submitter.handle(task)


async def poll(harness: Harness, step: str, script: Script) -> None:
    poller = Poller(harness.ledger, {"fal": raising(step)}, script, clock=harness.clock, emit=harness.emitted)
    [task] = await harness.due("poll")
    await poller.handle(task)


async def test_a_job_whose_request_cannot_be_built_fails_because_of_renderhook_and_nothing_is_sent(
    harness: Harness,
) -> None:
    job_id = await harness.accept("fal")
    script = Script(accepted())
    await submit(harness, "submission", script)
    job = await harness.job(job_id)
    assert script.requests == []
    assert (job.state, job.submissions) == (JobState.FAILED, 0)
    assert job.error is not None
    assert (job.error.fault, job.error.code) == (Fault.RENDERHOOK, "provider_raised")
    assert job.error.message == "the code of the provider fal raised KeyError in submission. Nothing was sent"


async def test_a_job_whose_submit_response_cannot_be_read_is_unconfirmed_and_the_response_is_logged(
    harness: Harness,
) -> None:
    job_id = await harness.accept("fal")
    await submit(harness, "read_submission", Script(accepted("req-paid")))
    assert (await harness.job(job_id)).state is JobState.UNCONFIRMED
    [raised] = harness.emitted.named("provider.raised")
    assert (raised["job"], raised["step"], raised["exception"]) == (job_id, "read_submission", "KeyError")
    assert "req-paid" in str(raised["response"])
    assert str(raised["location"]).startswith("test_submitter_provider_calls.py:")
    [unconfirmed] = harness.emitted.named("job.became_unconfirmed")
    assert unconfirmed["code"] == "provider_raised"
    assert "HTTP 200" in str(unconfirmed["message"])
    assert SECRET not in str(harness.emitted)


async def test_a_warning_that_cannot_be_read_loses_nothing(harness: Harness) -> None:
    job_id = await harness.accept("fal")
    await submit(harness, "warning", Script(accepted("req-paid")))
    assert (await harness.job(job_id)).provider_request_id == "req-paid"


@pytest.mark.parametrize("step", ["poll", "read_poll"])
async def test_a_job_that_cannot_be_polled_expires_at_its_deadline_with_the_reason(harness: Harness, step: str) -> None:
    job_id = await harness.submitted("fal")
    account = fal_account()
    for _ in range(100):
        wait = await harness.seconds_until_due("poll")
        if wait is None:
            break
        harness.clock.pass_seconds(max(wait, 3_600))
        await poll(harness, step, Script(response(200, {"status": "IN_QUEUE"})))
    job = await harness.job(job_id)
    assert job.state is JobState.EXPIRED
    assert job.error is not None
    assert (job.error.fault, job.error.code) == (Fault.RENDERHOOK, "unread")
    assert f"raised KeyError in {step}" in job.error.message
    assert (job.finalized_at or 0) - (job.submitted_at or 0) <= 2.1 * account.give_up_after
