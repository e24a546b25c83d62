"""Asking fal's queue for a job, and reading whether it took it."""

from urllib.parse import quote

from ledger.records import Fault, JobError
from providers.fal.failures import read_answer_failure
from providers.http import Refused, Request, Response, SubmitResult, Submitted, TryLater, Unclear
from providers.reading import read_id, read_mapping, read_retry_after
from providers.statuses import may_hide_a_job, not_taken
from providers.urls import read_url_at


def build_submission(*, queue_url: str, model: str, input_json: bytes, key: str, webhook_url: str | None) -> Request:
    """Build the request that submits a job; the body is the model's input as it is, not wrapped.

    With `webhook_url` fal calls it when the job ends; without, the job has to be polled.
    """
    url = f"{queue_url.rstrip('/')}/{quote(model, safe='/')}"
    if webhook_url:
        # Query only: in the body it would be taken for a model input. https://fal.ai/docs/model-apis/webhooks
        url += "?fal_webhook=" + quote(webhook_url, safe="")
    headers = {"Authorization": f"Key {key}", "Content-Type": "application/json", "Accept": "application/json"}
    return Request(method="POST", url=url, headers=headers, body=input_json)


def parse_submission(answer: Response, *, queue_url: str) -> SubmitResult:
    """Read whether fal has the job. Never raises.

    Only an answer that fal itself gave may lead to a second submit: a job costs money and has no idempotency key.
    """
    if 200 <= answer.status < 300:
        return _parse_taken(answer, queue_url)
    if 300 <= answer.status < 400:
        return Refused(error=_moved(answer.status))
    error = read_answer_failure(answer)
    # A start deadline that ran out is fal's own word for "not run", unlike a gateway's 504.
    # https://fal.ai/docs/documentation/model-apis/request-errors
    ran_out = answer.status == 504 and "x-fal-request-timeout-type" in answer.headers
    if may_hide_a_job(answer.status) and not ran_out:
        return Unclear(error=error)
    if ran_out or not_taken(answer.status):
        return TryLater(error=error, retry_after=read_retry_after(answer.headers))
    return Refused(error=error)


def _parse_taken(answer: Response, queue_url: str) -> Submitted | Unclear:
    told = read_mapping(answer.body) or {}
    # With a webhook the documentation session no more than the id. https://fal.ai/docs/model-apis/webhooks
    request_id = read_id(told.get("request_id"))
    if request_id is None:
        return Unclear(
            error=JobError(
                fault=Fault.NETWORK,
                code="answer_unreadable",
                message=f"fal answered HTTP {answer.status} without a readable request_id; it may have taken the job",
            )
        )
    return Submitted(
        request_id=request_id,
        status_url=read_url_at(told.get("status_url"), queue_url),
        response_url=read_url_at(told.get("response_url"), queue_url),
        cancel_url=read_url_at(told.get("cancel_url"), queue_url),
    )


def _moved(status: int) -> JobError:
    return JobError(
        fault=Fault.US,
        code="redirected",
        message=f"the fal queue answered HTTP {status}, a redirect, which is not followed; check FAL_QUEUE_URL",
    )
