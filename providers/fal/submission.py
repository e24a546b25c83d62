"""Submitting a job to fal's queue, and reading whether fal has it."""

from urllib.parse import quote

from providers.fal.failures import concerns_account, read_error_response
from providers.http import AccountRefused, Refused, Request, Response, RetryLater, SubmitResult, Submitted, Unknown
from providers.reading import read_id, read_retry_after
from providers.responses import (
    is_own_failure,
    is_rejected_for_now,
    may_have_taken_job,
    missing_id_error,
    redirect_error,
)
from providers.urls import read_url_of_origin
from settings.secrets import reveal

MOST_SERVER_ERRORS = 3
"""Submissions of a job that fal answers with HTTP 500 or the like. It does not bill what it answers so."""


def build_submission(*, queue_url: str, model: str, input_json: bytes, key: str, webhook_url: str | None) -> Request:
    """Build the request that submits a job; the body is the model's input as it is, not wrapped.

    With `webhook_url` fal calls it when the job ends; without, the job has to be polled.
    """
    url = f"{queue_url.rstrip('/')}/{quote(model, safe='/')}"
    if webhook_url:
        # Query only: in the body it would be taken for a model input. https://fal.ai/docs/model-apis/webhooks
        url += "?fal_webhook=" + quote(webhook_url, safe="")
    headers = {"Authorization": f"Key {reveal(key)}", "Content-Type": "application/json", "Accept": "application/json"}
    return Request(method="POST", url=url, headers=headers, body=input_json)


def parse_submission(response: Response, *, queue_url: str) -> SubmitResult:
    """Read whether fal has the job. Never raises.

    Only a response of fal itself may lead to a second submission: a job costs money and has no idempotency key.
    """
    if response.ok:
        return _parse_accepted(response, queue_url)
    if 300 <= response.status < 400:
        return Refused(error=redirect_error(response, provider="fal", setting="FAL_QUEUE_URL"))
    error = read_error_response(response)
    # A start deadline that ran out means that fal did not run it, unlike a gateway's 504.
    # https://fal.ai/docs/documentation/model-apis/request-errors
    not_started = response.status == 504 and "x-fal-request-timeout-type" in response.headers
    if may_have_taken_job(response.status) and not not_started:
        return Unknown(error=error)
    if not_started or is_rejected_for_now(response.status):
        limit = MOST_SERVER_ERRORS if is_own_failure(response.status) else None
        return RetryLater(error=error, retry_after=read_retry_after(response.headers), limit=limit)
    return AccountRefused(error=error) if concerns_account(error, response) else Refused(error=error)


def _parse_accepted(response: Response, queue_url: str) -> Submitted | Unknown:
    fields = response.fields
    # With a webhook only the id is documented. https://fal.ai/docs/model-apis/webhooks
    request_id = read_id(fields.get("request_id"))
    if request_id is None:
        return Unknown(error=missing_id_error(response, provider="fal", field="request_id"))
    return Submitted(
        request_id=request_id,
        status_url=read_url_of_origin(fields.get("status_url"), queue_url),
        response_url=read_url_of_origin(fields.get("response_url"), queue_url),
        cancel_url=read_url_of_origin(fields.get("cancel_url"), queue_url),
    )
