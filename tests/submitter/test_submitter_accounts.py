"""Each provider is asked in its own way, and our key goes nowhere but to its own address."""

import pytest

from ledger.records import JobState
from ledger.rows import Job
from tests.conftest import NOON
from tests.submitter.desk import TOKENS, Desk, Script, answer, fal_account, heygen_account


def job(**fields: object) -> Job:
    plain: dict[str, object] = {
        "id": "job_1",
        "provider": "fal",
        "model": "half-moon-ai/ai-face-swap/faceswapvideo",
        "state": JobState.SUBMITTED,
        "input": '{"x":"é"}',
        "metadata": "{}",
        "provider_request_id": "r/1",
        "status_url": None,
        "response_url": None,
        "cancel_url": None,
        "submissions": 1,
        "claimed_until": None,
        "unconfirmed_at": None,
        "created_at": NOON,
        "submitted_at": NOON,
        "finalized_at": None,
        "source": None,
        "processing_time_ms": None,
        "warning": None,
        "error": None,
        "last_transition": "move_1",
        "outputs": (),
    }
    return Job(**(plain | fields))  # type: ignore[arg-type]


def test_fal_is_sent_the_input_as_it_is_with_the_key_in_a_header() -> None:
    request = fal_account().submission(job())
    assert (request.method, request.body) == ("POST", '{"x":"é"}'.encode())
    assert request.headers["Authorization"] == "Key kid:secret"
    assert request.headers["Content-Type"] == "application/json"
    where, _, query = request.url.partition("?")
    assert where == "https://queue.fal.run/half-moon-ai/ai-face-swap/faceswapvideo"
    assert query == "fal_webhook=https%3A%2F%2Fhooks.example%2Fcallbacks%2Ffal%2F" + TOKENS.sign("job_1")
    assert "secret" not in request.url


def test_heygen_is_sent_an_envelope_with_the_key_in_a_header() -> None:
    request = heygen_account().submission(job(provider="heygen", model="FaceswapNode"))
    assert (request.method, request.url) == ("POST", "https://api.heygen.com/v1/workflows/executions")
    assert request.headers["X-Api-Key"] == "hg-key"
    assert request.body == '{"workflow_type":"FaceswapNode","input":{"x":"é"}}'.encode()


def test_fal_is_asked_at_the_addresses_it_gave() -> None:
    given = job(status_url="https://queue.fal.run/s", response_url="https://queue.fal.run/r")
    account = fal_account()
    for request, url in ((account.check(given), "s"), (account.result(given), "r")):
        assert (request.method, request.url, request.body) == ("GET", f"https://queue.fal.run/{url}", b"")
        assert request.headers["Authorization"] == "Key kid:secret"


def test_fal_is_asked_at_the_documented_addresses_when_it_gave_none() -> None:
    account, root = fal_account(), "https://queue.fal.run/half-moon-ai/ai-face-swap/requests/r%2F1"
    assert account.check(job()).url == f"{root}/status"
    assert account.result(job()).url == root


def test_heygen_is_asked_for_status_and_result_in_one() -> None:
    account, given = heygen_account(), job(provider="heygen")
    assert account.check(given).url == "https://api.heygen.com/v1/workflows/executions/r%2F1"
    assert account.check(given).headers["X-Api-Key"] == "hg-key"
    assert account.result(given) == account.check(given)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/a/b/requests/r/status",
        "http://queue.fal.run/a/b/requests/r/status",
        "https://queue.fal.run:444/a",
        "https://queue.fal.run@evil.example/a",
        "https://queue.fal.run.evil.example/a",
        "//evil.example/a",
        "file:///etc/passwd",
        7,
    ],
)
async def test_an_address_elsewhere_is_not_followed_with_our_key(elsewhere: object, desk: Desk) -> None:
    await desk.accept()
    told = {"request_id": "r", "status_url": elsewhere, "response_url": elsewhere, "cancel_url": elsewhere}
    await desk.submit(Script(answer(200, told)))
    desk.clock.pass_seconds(100)
    script = Script(
        answer(200, {"status": "COMPLETED"}), answer(200, {"video": {"url": "https://v3b.fal.media/a.mp4"}})
    )
    assert await desk.check(script) == 1
    assert [request.url for request in script.asked] == [
        "https://queue.fal.run/a/b/requests/r/status",
        "https://queue.fal.run/a/b/requests/r",
    ]


def test_how_often_a_job_is_looked_at_depends_on_whether_it_calls_back() -> None:
    assert (fal_account().calls_back, fal_account().poll_interval) == (True, 60_000)
    polled = fal_account(calls_back=False)
    assert (polled.calls_back, polled.poll_interval) == (False, 5_000)
    assert (heygen_account().calls_back, heygen_account().poll_interval) == (False, 10_000)


def test_only_heygen_has_something_to_warn_of() -> None:
    ending = answer(200, {"data": {}}, sunset="Sat, 31 Oct 2026 00:00:00 GMT")
    assert fal_account().warning(ending) is None
    assert "HEYGEN_API_URL" in (heygen_account().warning(ending) or "")
    assert heygen_account().warning(answer(200, {"data": {}})) is None
