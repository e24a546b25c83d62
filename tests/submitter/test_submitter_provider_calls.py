"""An exception of a provider's code loses neither the job nor what was paid for, and the job says what happened."""

import asyncio
from typing import Any

import pytest

from ledger.records import Fault, JobError, JobState, Outcome, Output
from providers.fal.provider import FalAccount
from providers.http import (
    AskNext,
    Ended,
    PollResult,
    Refused,
    Request,
    Response,
    RetryLater,
    Running,
    SubmitResult,
    Submitted,
    Unknown,
)
from providers.provider import Account, Job
from submitter.poll import Poller
from submitter.submit import Submitter
from tests.database import ON_BOTH_DATABASES
from tests.submitter.harness import LEASE, Harness, Script, accepted, fal_account, response

pytestmark = ON_BOTH_DATABASES

SECRET = "kid:secret"


class Raising(FalAccount, frozen=True, kw_only=True):
    """An account whose method `raises` has a mistake."""

    raises: str = ""
    error: BaseException = KeyError(SECRET)

    def _check(self, step: str) -> None:
        if step == self.raises:
            raise self.error

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


class Returning(FalAccount, frozen=True, kw_only=True):
    """An account whose methods return `value`, whatever it is."""

    value: Any = None

    def submission(self, job: Job) -> Any:
        return self.value if isinstance(self.value, Request | Unusable) else super().submission(job)

    def read_submission(self, response: Response) -> Any:
        return self.value

    def read_poll(self, job: Job, response: Response) -> Any:
        return self.value


class Timeless(FalAccount, frozen=True, kw_only=True):
    """An account whose durations and ways raise."""

    @property
    def poll_interval(self) -> int:
        raise ZeroDivisionError

    @property
    def calls_back(self) -> bool:
        raise ZeroDivisionError


class Unusable:
    """What is no request."""


def raising(step: str, error: BaseException | None = None) -> Raising:
    raised = error or KeyError(SECRET)
    return Raising(**fields_of_fal(), raises=step, error=raised)


def fields_of_fal() -> dict[str, Any]:
    account = fal_account()
    return {name: getattr(account, name) for name in account.__struct_fields__}


async def submit(harness: Harness, step: str | Account, script: Script) -> None:
    submitter = Submitter(
        harness.ledger,
        {"fal": raising(step) if isinstance(step, str) else step},
        script,
        clock=harness.clock,
        emit=harness.emitted,
        resubmit="never",
        lease_ms=LEASE,
        give_up_after=86_400_000,
    )
    [task] = await harness.due("submit")
    await submitter.handle(task)


async def poll(harness: Harness, step: str | Account, script: Script) -> None:
    account = raising(step) if isinstance(step, str) else step
    poller = Poller(harness.ledger, {"fal": account}, script, clock=harness.clock, emit=harness.emitted)
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
    assert job.error.message == (
        "the code of the provider fal raised KeyError in submission. Nothing was sent, so nothing is billed"
    )


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
    for _ in range(1_000):
        wait = await harness.seconds_until_due("poll")
        if wait is None:
            break
        harness.clock.pass_seconds(wait)
        await poll(harness, step, Script(response(200, {"status": "IN_QUEUE"})))
    job = await harness.job(job_id)
    assert job.state is JobState.EXPIRED
    assert job.error is not None
    assert (job.error.fault, job.error.code) == (Fault.RENDERHOOK, "unread")
    assert f"raised KeyError in {step}" in job.error.message
    assert (job.finalized_at or 0) - (job.submitted_at or 0) == account.give_up_after


@pytest.mark.parametrize("error", [SystemExit(1), asyncio.CancelledError(), RecursionError()], ids=repr)
@pytest.mark.parametrize("step", ["submission", "read_submission", "warning", "poll", "read_poll"])
async def test_no_exception_of_a_provider_leaves_its_handler(step: str, error: BaseException, harness: Harness) -> None:
    if "poll" in step:
        await harness.submitted("fal")
        await poll(harness, raising(step, error), Script(response(200, {"status": "IN_QUEUE"})))
    else:
        await harness.accept("fal")
        await submit(harness, raising(step, error), Script(accepted()))
    assert [raised["exception"] for raised in harness.emitted.named("provider.raised")] == [type(error).__name__]


async def test_the_logged_response_has_neither_our_key_nor_a_callback_token(harness: Harness) -> None:
    await harness.accept("fal")
    body = {"id": "req-paid", "you_sent": "Key kid:secret to https://hooks.example/callbacks/fal/token.of.a-job"}
    await submit(harness, "read_submission", Script(response(500, body)))
    [raised] = harness.emitted.named("provider.raised")
    assert "req-paid" in str(raised["response"])
    assert SECRET not in str(harness.emitted)
    assert "token.of" not in str(harness.emitted)


ERROR = JobError(fault=Fault.PROVIDER, code="x", message="y")
UNSENDABLE = [
    Unusable(),
    Request(method="POST", url="https://queue.fal.run/a", headers={"x": "a\r\nb: c"}),
    Request(method="POST", url="https://queue.fal.run/a", headers={"x": None}),  # type: ignore[dict-item]
    Request(method="POST", url=None, headers={}),  # type: ignore[arg-type]
    Request(method="POST", url="https://queue.fal.run/a", headers={}, body="text"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("request_", UNSENDABLE, ids=range(len(UNSENDABLE)))
async def test_a_request_that_cannot_be_sent_fails_the_job_and_is_not_sent(request_: object, harness: Harness) -> None:
    job_id = await harness.accept("fal")
    script = Script(accepted())
    await submit(harness, Returning(**fields_of_fal(), value=request_), script)
    job = await harness.job(job_id)
    assert (job.state, job.error and job.error.code, script.requests) == (JobState.FAILED, "provider_raised", [])


NO_RESULTS = [
    None,
    "submitted",
    Running(),
    Submitted(request_id=7),  # type: ignore[arg-type]
    Submitted(request_id=""),
    Submitted(request_id="x" * 201),
    Submitted(request_id="\ud800"),
    Submitted(request_id="a\0b"),
    Submitted(request_id="r", status_url=object()),  # type: ignore[arg-type]
    Refused(error=None),  # type: ignore[arg-type]
    RetryLater(error=ERROR, retry_after="soon"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("result", NO_RESULTS, ids=range(len(NO_RESULTS)))
async def test_what_is_no_result_of_a_submission_makes_the_job_unconfirmed(result: object, harness: Harness) -> None:
    job_id = await harness.accept("fal")
    await submit(harness, Returning(**fields_of_fal(), value=result), Script(accepted("req-paid")))
    assert (await harness.job(job_id)).state is JobState.UNCONFIRMED
    [raised] = harness.emitted.named("provider.raised")
    assert (raised["step"], "req-paid" in str(raised["response"])) == ("read_submission", True)


@pytest.mark.parametrize("result", [Refused, RetryLater, Unknown])
async def test_an_error_of_an_installed_provider_is_recorded_in_characters_that_every_database_takes(
    result: type[Refused | RetryLater | Unknown], harness: Harness
) -> None:
    job_id = await harness.accept("fal")
    error = JobError(fault=Fault.PROVIDER, code="a b", message="one\0two\nthree")
    await submit(harness, Returning(**fields_of_fal(), value=result(error=error)), Script(response(400)))
    [message] = [event["message"] for _, event in harness.emitted if "message" in event]
    assert str(message).removeprefix("it is unknown whether fal runs this job: ") == "one two three"
    assert (await harness.job(job_id)).state is not JobState.SUBMITTING


NO_OUTCOMES = [
    None,
    Submitted(request_id="r"),
    Ended(outcome=None),  # type: ignore[arg-type]
    Ended(outcome=Outcome(state=JobState.SUBMITTED)),
    Ended(outcome=Outcome(state=JobState.FAILED)),
    Ended(outcome=Outcome(state=JobState.COMPLETED, error=ERROR)),
    Ended(outcome=Outcome.completed((Output(url=7),))),  # type: ignore[arg-type]
    Ended(outcome=Outcome.completed((Output(url="\ud800"),))),
    Ended(outcome=Outcome.completed((Output(url="https://x.example/a", file_size=-1),))),
    AskNext(request=None, read=None),  # type: ignore[arg-type]
    Running(retry_after="soon"),  # type: ignore[arg-type]
]


@pytest.mark.parametrize("result", NO_OUTCOMES, ids=range(len(NO_OUTCOMES)))
async def test_what_cannot_be_recorded_of_a_poll_is_polled_again_until_the_deadline(
    result: object, harness: Harness
) -> None:
    job_id = await harness.submitted("fal")
    account = Returning(**fields_of_fal(), value=result)
    await poll(harness, account, Script(response(200, {"status": "IN_QUEUE"})))
    assert (await harness.job(job_id)).state is JobState.SUBMITTED
    harness.clock.pass_seconds(86_400)
    await poll(harness, account, Script(response(200, {"status": "IN_QUEUE"})))
    job = await harness.job(job_id)
    assert (job.state, job.error and job.error.fault) == (JobState.EXPIRED, Fault.RENDERHOOK)
    assert job.error
    assert "provider fal" in job.error.message


async def test_an_account_without_readable_durations_has_those_of_every_account(harness: Harness) -> None:
    job_id = await harness.accept("fal")
    await submit(harness, Timeless(**fields_of_fal()), Script(accepted("req-paid")))
    assert (await harness.job(job_id)).provider_request_id == "req-paid"
    assert 48 <= (await harness.seconds_until_due("poll") or 0) <= 72
    harness.clock.pass_seconds(72)
    await poll(harness, Timeless(**fields_of_fal()), Script(response(200, {"status": "IN_QUEUE"})))
    assert 48 <= (await harness.seconds_until_due("poll") or 0) <= 72
