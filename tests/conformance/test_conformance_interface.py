"""The interface of every provider: it is registered, declares settings, reads any response, and cancels."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import msgspec
import pytest

from ledger.records import JobState
from outbound.client import Client, open_transport
from providers.callback_tokens import CallbackTokens
from providers.errors import InputRefused, Unverified
from providers.http import (
    AskNext,
    CancelResult,
    Ended,
    PollResult,
    Response,
    RetryLater,
    Send,
    SubmitResult,
    Submitted,
)
from providers.provider import Account, Context, Provider
from providers.registry import BUILT_IN, load
from settings.environment import read_struct
from settings.setting import declared
from tests.conformance.subjects import SUBJECTS, Subject, entry_points_in

ALL = pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
CANCELING = pytest.mark.parametrize(
    "subject", [each for each in SUBJECTS if each.cancels], ids=lambda subject: subject.name
)
BODIES = [b"", b"{}", b"[]", b"null", b'{"a":' * 1200, b"<html>", b"\xff", b'{"data":7,"error":[],"status":{}}']
TIMEOUT_SECONDS = 10


class Job(msgspec.Struct, kw_only=True):
    """A job as a provider sees it."""

    id: str = "job_1"
    model: str
    input: str
    provider_request_id: str | None = "request-1"
    status_url: str | None = None
    response_url: str | None = None
    cancel_url: str | None = None


@pytest.fixture
def provider(subject: Subject, site: Path) -> Provider[msgspec.Struct]:
    return load([*BUILT_IN, *entry_points_in(site)])[subject.name]


@pytest.fixture
def settings(subject: Subject, provider: Provider[msgspec.Struct], endpoints: Mapping[str, str]) -> msgspec.Struct:
    faults: list[str] = []
    found = read_struct(provider.settings, subject.environment(endpoints[subject.name]), faults)
    assert faults == []
    return found


@pytest.fixture
def account(subject: Subject, provider: Provider[msgspec.Struct], settings: msgspec.Struct) -> Account:
    """An account without a public URL."""
    context = Context(provider=subject.name, public_url=None, tokens=CallbackTokens(["a key of the tests"]))
    account = provider.open(settings, context)
    assert account is not None
    return account


@pytest.fixture
async def send() -> AsyncIterator[Send]:
    transport = open_transport(connections=2)
    yield Client(transport, seconds=5, max_bytes=1 << 20)
    await transport.aclose()


def job_of(subject: Subject, fields: Mapping[str, str]) -> Job:
    return Job(model=subject.model, input=msgspec.json.encode(fields).decode())


async def submitted(account: Account, job: Job, send: Send) -> Job:
    """Submit a job, and return it as the ledger would have it."""
    result = account.read_submission(await send(account.submission(job)))
    assert isinstance(result, Submitted)
    return Job(
        model=job.model,
        input=job.input,
        provider_request_id=result.request_id,
        status_url=result.status_url,
        response_url=result.response_url,
        cancel_url=result.cancel_url,
    )


async def poll_once(account: Account, job: Job, send: Send) -> PollResult:
    result = account.read_poll(job, await send(account.poll(job)))
    while isinstance(result, AskNext):
        result = result.read(await send(result.request))
    return result


async def poll_until_ended(account: Account, job: Job, send: Send) -> JobState:
    async with asyncio.timeout(TIMEOUT_SECONDS):
        while True:
            result = await poll_once(account, job, send)
            if isinstance(result, Ended):
                return result.outcome.state


@ALL
def test_every_setting_is_named_for_its_provider(subject: Subject, provider: Provider[msgspec.Struct]) -> None:
    settings = declared(provider.settings)
    assert provider.missing in settings
    assert all(name.startswith(f"{subject.name.upper()}_") for name in settings)
    assert all(setting.help for setting in settings.values())


@ALL
def test_without_the_named_setting_there_is_no_account(subject: Subject, provider: Provider[msgspec.Struct]) -> None:
    faults: list[str] = []
    settings = read_struct(provider.settings, {}, faults)
    context = Context(provider=subject.name, public_url=None, tokens=CallbackTokens(["a key of the tests"]))
    assert provider.open(settings, context) is None
    assert faults == []


@ALL
def test_secrets_are_not_shown(subject: Subject, settings: msgspec.Struct, endpoints: Mapping[str, str]) -> None:
    environment = subject.environment(endpoints[subject.name])
    secrets = [environment[name] for name, setting in declared(type(settings)).items() if setting.secret]
    assert secrets
    assert not any(secret in repr(settings) for secret in secrets)


@ALL
def test_inputs_of_the_scenarios_are_accepted_and_a_wrong_model_is_refused(
    subject: Subject, provider: Provider[msgspec.Struct]
) -> None:
    for fields in (subject.inputs.completes, subject.inputs.fails, subject.inputs.lost, subject.inputs.slow(1)):
        provider.check_input(subject.model, fields)
    with pytest.raises(InputRefused) as caught:
        provider.check_input("no model/of anybody's?", subject.inputs.completes)
    assert caught.value.field == "model"


@ALL
def test_callbacks_are_expected_only_with_a_public_url(
    subject: Subject, provider: Provider[msgspec.Struct], settings: msgspec.Struct, account: Account
) -> None:
    tokens = CallbackTokens(["a key of the tests"])
    context = Context(provider=subject.name, public_url="https://hooks.example", tokens=tokens)
    public = provider.open(settings, context)
    assert public is not None
    assert (account.calls_back, public.calls_back) == (False, subject.calls_back)
    assert (provider.webhook(settings) is not None) == subject.calls_back
    assert min(public.poll_interval, account.poll_interval, public.give_up_after) > 0


@ALL
def test_every_response_is_read(subject: Subject, account: Account) -> None:
    job = job_of(subject, subject.inputs.completes)
    for status in range(100, 600):
        for body in BODIES:
            response = Response(status=status, body=body)
            assert isinstance(account.read_submission(response), SubmitResult), (status, body)
            assert not isinstance(account.read_submission(response), Submitted), (status, body)
            assert isinstance(account.read_poll(job, response), PollResult), (status, body)
            assert isinstance(account.read_cancel(response), CancelResult), (status, body)
            assert isinstance(account.warning(response), str | None), (status, body)


@ALL
def test_a_gateways_response_never_leads_to_a_second_submission(subject: Subject, account: Account) -> None:
    for status in (502, 504, 520, 524):
        assert not isinstance(account.read_submission(Response(status=status)), RetryLater)


@ALL
def test_the_key_is_in_a_header_of_every_request_and_in_no_url(
    subject: Subject, account: Account, endpoints: Mapping[str, str]
) -> None:
    job = job_of(subject, subject.inputs.completes)
    key = next(iter(subject.environment("").values()))
    requests = [account.submission(job), account.poll(job), account.cancel(job)]
    for request in filter(None, requests):
        assert request.url.startswith(endpoints[subject.name])
        assert key not in request.url
        assert any(key in value for value in request.headers.values())


@ALL
def test_a_callback_without_signed_headers_is_refused(
    provider: Provider[msgspec.Struct], settings: msgspec.Struct
) -> None:
    webhook = provider.webhook(settings)
    if webhook is not None:
        with pytest.raises(Unverified):
            webhook.open([], 0)


@ALL
async def test_a_job_is_submitted_and_polled_to_its_end(subject: Subject, account: Account, send: Send) -> None:
    completes = await submitted(account, job_of(subject, subject.inputs.completes), send)
    fails = await submitted(account, job_of(subject, subject.inputs.fails), send)
    assert await poll_until_ended(account, completes, send) is JobState.COMPLETED
    assert await poll_until_ended(account, fails, send) is JobState.FAILED


@CANCELING
async def test_a_running_job_is_canceled(subject: Subject, account: Account, send: Send) -> None:
    job = await submitted(account, job_of(subject, subject.inputs.slow(30)), send)
    request = account.cancel(job)
    assert request is not None
    assert account.read_cancel(await send(request)) in {CancelResult.CANCELED, CancelResult.REQUESTED}
    assert await poll_until_ended(account, job, send) is JobState.CANCELED


@CANCELING
async def test_a_cancel_after_the_end_is_too_late(subject: Subject, account: Account, send: Send) -> None:
    job = await submitted(account, job_of(subject, subject.inputs.completes), send)
    await poll_until_ended(account, job, send)
    request = account.cancel(job)
    assert request is not None
    assert account.read_cancel(await send(request)) is CancelResult.TOO_LATE


@CANCELING
async def test_a_cancel_of_an_unknown_job_is_not_found(subject: Subject, account: Account, send: Send) -> None:
    request = account.cancel(job_of(subject, subject.inputs.completes))
    assert request is not None
    assert account.read_cancel(await send(request)) is CancelResult.NOT_FOUND


def test_a_provider_that_cannot_cancel_has_no_request_for_it(site: Path) -> None:
    found = load([*BUILT_IN, *entry_points_in(site)])
    for subject in (each for each in SUBJECTS if not each.cancels):
        faults: list[str] = []
        provider = found[subject.name]
        settings = read_struct(provider.settings, subject.environment("https://api.example"), faults)
        context = Context(provider=subject.name, public_url=None, tokens=CallbackTokens(["a key of the tests"]))
        account = provider.open(settings, context)
        assert account is not None
        assert account.cancel(job_of(subject, subject.inputs.completes)) is None
