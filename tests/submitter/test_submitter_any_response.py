"""Whatever a provider of ours answers, submitting and polling reach a state: its code raises nothing in any step."""

import asyncio
import itertools
import json
import tempfile
from pathlib import Path

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.records import JobState
from ledger.rows import Job
from ledger.sqlite.store import open_sqlite
from providers.errors import InputRefused
from providers.fal.inputs import check_model as check_fal_model
from providers.heygen.inputs import check_model as check_heygen_model
from providers.http import AskNext, Refused, Request, Response
from providers.provider import Account
from submitter.provider_calls import ProviderCalls
from tests.conftest import NOON, PROVIDERS, Clock, EmittedEvents
from tests.providers.test_any_bytes import responses, trees, unhurried
from tests.submitter.harness import Harness, Script, fal_account, heygen_account

JOB = Job(
    id="job_1",
    provider="fal",
    model="a/b",
    state=JobState.SUBMITTED,
    input="{}",
    metadata="{}",
    provider_request_id="req-1",
    status_url=None,
    response_url=None,
    cancel_url=None,
    submissions=1,
    server_errors=0,
    claimed_until=None,
    unconfirmed_at=None,
    created_at=NOON,
    submitted_at=NOON,
    finalized_at=None,
    source=None,
    processing_time_ms=None,
    warning=None,
    error=None,
    last_transition="tran_1",
    outputs=(),
)
ACCOUNTS: list[Account] = [fal_account(), fal_account(calls_back=False), heygen_account()]
# JSON that msgspec does not write: numbers beyond a double, repeated names, lone surrogates, deep nesting
ODD = [b"1e400", b"-0", b"9" * 400, b'{"a":1,"a":2}', rb'"\ud800"', b"[" * 400 + b"]" * 400, b"\xef\xbb\xbf{}", b"NaN"]
IN_FIELDS = [
    b'{"request_id":%s,"status":%s,"error":%s}',
    b'{"data":{"execution_id":%s,"status":%s,"output":%s}}',
    b'{"status":"COMPLETED","error":%s,"error_type":%s,"detail":[{"msg":%s}]}',
    b'{"data":{"execution_id":"e","status":"completed","output":%s,"outputs":%s,"warning":%s}}',
]
odd_bodies = st.builds(
    lambda body, *values: body % values,
    st.sampled_from(IN_FIELDS),
    *[st.sampled_from(ODD) | trees.map(msgspec.json.encode)] * 3,
)
any_responses = responses | st.builds(Response, status=st.integers(100, 999), body=odd_bodies)


def check(model: str) -> bool:
    """Whether a provider of ours takes jobs for this model."""
    for check_model in (check_fal_model, check_heygen_model):
        try:
            check_model(model)
        except InputRefused:
            continue
        return True
    return False


@unhurried
@given(st.sampled_from(ACCOUNTS), any_responses, any_responses)
def test_no_response_makes_the_code_of_a_provider_raise(account: Account, first: Response, second: Response) -> None:
    emitted = EmittedEvents()
    calls = ProviderCalls(account, JOB, emitted)
    calls.submission()
    calls.read_submission(first)
    calls.emit_warning(first)
    asked = calls.poll()
    assert isinstance(asked, AskNext)
    polled = calls.read_poll(asked, first)
    if isinstance(polled, AskNext):
        calls.read_poll(polled, second)
    assert emitted.named("provider.raised") == []


@unhurried
@given(
    st.sampled_from(ACCOUNTS),
    st.text(max_size=20).filter(check) | st.sampled_from(["a/b", "workflows/a/b", "1-a", "FaceswapNode"]),
    st.dictionaries(st.text(max_size=5), trees, max_size=3).map(json.dumps),
    st.text(min_size=1, max_size=20),
)
def test_no_job_makes_the_code_of_a_provider_raise(
    account: Account, model: str, input_text: str, request_id: str
) -> None:
    emitted = EmittedEvents()
    job = msgspec.structs.replace(JOB, model=model, input=input_text, provider_request_id=request_id)
    calls = ProviderCalls(account, job, emitted)
    assert isinstance(calls.submission(), Request | Refused)
    calls.poll()
    assert emitted == []


@settings(unhurried, max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(PROVIDERS), any_responses, any_responses), min_size=1, max_size=8))
def test_every_response_leads_to_a_state_that_the_database_takes(
    exchanges: list[tuple[str, Response, Response]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_submit_and_poll(Path(folder), exchanges))


async def _submit_and_poll(folder: Path, exchanges: list[tuple[str, Response, Response]]) -> None:
    store = await open_sqlite(folder / "ledger.db", now=NOON, providers=PROVIDERS)
    harness = Harness(store, Clock(), EmittedEvents())
    try:
        for number, (provider, first, second) in enumerate(exchanges):
            job_id = await harness.accept(provider)
            await harness.submit_due(Script(first))
            state = (await harness.job(job_id)).state
            assert state in {JobState.ACCEPTED, JobState.UNCONFIRMED, JobState.SUBMITTED, JobState.FAILED}
            polled = await harness.submitted(provider, f"request-{number}")
            await harness.poll_due(Script(first, second))
            assert (await harness.job(polled)).state is not JobState.SUBMITTING
    finally:
        await store.close()
    assert harness.emitted.named("provider.raised") == harness.emitted.named("poll.record_failed") == []


def test_an_empty_response_of_any_status_is_read() -> None:
    emitted = EmittedEvents()
    for account, status in itertools.product(ACCOUNTS, range(100, 600)):
        calls = ProviderCalls(account, JOB, emitted)
        response = Response(status=status)
        calls.read_submission(response)
        asked = calls.poll()
        assert isinstance(asked, AskNext)
        calls.read_poll(asked, response)
    assert emitted.named("provider.raised") == []
