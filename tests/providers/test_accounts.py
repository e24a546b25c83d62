"""Each provider gets requests in its own shape, and our key goes to no address but its own."""

import msgspec

from providers.http import AskNext
from tests.submitter.harness import TOKENS, fal_account, heygen_account, response


class Job(msgspec.Struct, kw_only=True):
    """A job as a provider sees it."""

    id: str = "job_1"
    model: str = "half-moon-ai/ai-face-swap/faceswapvideo"
    input: str = '{"x":"é"}'
    provider_request_id: str | None = "r/1"
    status_url: str | None = None
    response_url: str | None = None
    cancel_url: str | None = None


FAL_REQUEST = "https://queue.fal.run/half-moon-ai/ai-face-swap/requests/r%2F1"
HEYGEN_EXECUTIONS = "https://api.heygen.com/v1/workflows/executions"


def test_fal_gets_the_input_unchanged_with_the_key_in_a_header() -> None:
    request = fal_account().submission(Job())
    assert (request.method, request.body) == ("POST", '{"x":"é"}'.encode())
    assert request.headers["Authorization"] == "Key kid:secret"
    assert request.headers["Content-Type"] == "application/json"
    url, _, query = request.url.partition("?")
    assert url == "https://queue.fal.run/half-moon-ai/ai-face-swap/faceswapvideo"
    assert query == "fal_webhook=https%3A%2F%2Fhooks.example%2Fcallbacks%2Ffal%2F" + TOKENS.sign("job_1")
    assert "secret" not in request.url


def test_heygen_gets_an_envelope_with_the_key_in_a_header() -> None:
    request = heygen_account().submission(Job(model="FaceswapNode"))
    assert (request.method, request.url) == ("POST", HEYGEN_EXECUTIONS)
    assert request.headers["X-Api-Key"] == "hg-key"
    assert request.body == '{"workflow_type":"FaceswapNode","input":{"x":"é"}}'.encode()


def test_fal_is_polled_and_canceled_at_the_urls_that_it_returned() -> None:
    root = "https://queue.fal.run"
    job = Job(status_url=f"{root}/s", response_url=f"{root}/r", cancel_url=f"{root}/c")
    account = fal_account()
    result = account.read_poll(job, response(200, {"status": "COMPLETED"}))
    assert isinstance(result, AskNext)
    requests = account.poll(job), result.request, account.cancel(job)
    assert [(request.method, request.url[-1]) for request in requests] == [("GET", "s"), ("GET", "r"), ("PUT", "c")]
    assert all(request.headers["Authorization"] == "Key kid:secret" for request in requests)


def test_fal_is_polled_and_canceled_at_the_documented_urls_when_it_returned_none() -> None:
    account = fal_account()
    result = account.read_poll(Job(), response(200, {"status": "COMPLETED"}))
    assert isinstance(result, AskNext)
    assert account.poll(Job()).url == f"{FAL_REQUEST}/status"
    assert result.request.url == FAL_REQUEST
    assert account.cancel(Job()).url == f"{FAL_REQUEST}/cancel"


def test_heygen_is_polled_at_the_execution() -> None:
    request = heygen_account().poll(Job())
    assert request.url == f"{HEYGEN_EXECUTIONS}/r%2F1"
    assert request.headers["X-Api-Key"] == "hg-key"


def test_the_poll_interval_depends_on_whether_callbacks_are_expected() -> None:
    assert (fal_account().calls_back, fal_account().poll_interval) == (True, 60_000)
    polled = fal_account(calls_back=False)
    assert (polled.calls_back, polled.poll_interval) == (False, 5_000)
    assert (heygen_account().calls_back, heygen_account().poll_interval) == (False, 10_000)


def test_only_heygen_announces_the_end_of_its_api() -> None:
    ending = response(200, {"data": {}}, sunset="Sat, 31 Oct 2026 00:00:00 GMT")
    assert fal_account().warning(ending) is None
    assert "HEYGEN_API_URL" in (heygen_account().warning(ending) or "")
    assert heygen_account().warning(response(200, {"data": {}})) is None
