"""fal's callbacks: believed in the cheapest order, recorded, and only then answered.

size, token, header shape, account, timestamp, signature, body, and that header and body name the same request.
The reply never says why a callback was refused; the log and the metric do.
https://fal.ai/docs/documentation/model-apis/inference/webhooks.md
"""

import msgspec
from starlette.types import Message, Receive, Scope, Send

from ledger.clock import Clock
from ledger.errors import CannotOpen, Unavailable
from ledger.ledger import Ledger
from ledger.records import RecordResult
from ledger.requests import Report
from providers.callback_tokens import CallbackTokens
from providers.errors import NoKeyMatches, Reason, Unverified
from providers.fal.callbacks import (
    Callback,
    SignedHeaders,
    check_account,
    check_timestamp,
    parse_callback,
    read_headers,
    verify_signature,
)
from receiver.callbacks.keys import KeyRing, KeysUnavailable
from receiver.web.bodies import BodyRefused, check_declared_length, read_body
from receiver.web.problems import Problem, internal_error, service_unavailable
from telemetry.emit import Emit

CALLBACKS = "/callbacks/fal"
"""Where fal calls: below it, one address for each job."""

_MALFORMED = frozenset({Reason.BODY_NOT_JSON, Reason.BODY_MALFORMED, Reason.REQUEST_ID_DIFFERS})

_NOT_ACCEPTED = "the callback was not accepted"


class Refusal(Exception):
    """A callback that is not believed for a reason of ours: its word for log and metric, and the answer."""

    def __init__(self, reason: str, problem: Problem, **fields: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem
        self.fields = fields


class FalCallbacks:
    """The ASGI application at `/callbacks/fal/{token}`.

    `account` is FAL_WEBHOOK_USER_ID, `tolerance_seconds` fal's 300.
    """

    def __init__(
        self,
        ledger: Ledger,
        keys: KeyRing,
        tokens: CallbackTokens,
        *,
        clock: Clock,
        emit: Emit,
        account: str | None,
        tolerance_seconds: int,
        max_body_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._keys = keys
        self._tokens = tokens
        self._clock = clock
        self._emit = emit
        self._account = account
        self._tolerance_seconds = tolerance_seconds
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one callback. 2xx only when its effect is on disk; 503 when nobody can say, so that fal tries again."""
        try:
            head, body = _ANSWERS[await self._receive(scope, receive)]
        except Exception as error:  # there is no Starlette around us to answer what nobody foresaw
            problem = self._problem(error, scope)
            await problem.response()(scope, receive, send)
            if problem.status == 500:
                raise  # the server writes the traceback down
        else:
            await send(head)
            await send(body)

    async def _receive(self, scope: Scope, receive: Receive) -> RecordResult:
        if scope["method"] != "POST":
            raise Refusal("wrong_method", Problem(405, "callbacks are POSTed", headers={"Allow": "POST"}))
        check_declared_length(scope["headers"], self._max_body_bytes)
        job_id = self._job_of(scope["path"])
        headers = read_headers(scope["headers"])
        check_account(headers, self._account)
        check_timestamp(headers, self._clock(), self._tolerance_seconds)
        body = await read_body(receive, self._max_body_bytes)
        await self._verify(headers, body)
        return await self._record(job_id, headers, body, parse_callback(body, headers))

    def _problem(self, error: Exception, scope: Scope) -> Problem:
        """Sort what went wrong by what fal should do next, and emit it."""
        if isinstance(error, Unverified):
            self._refused(error.reason.value, scope)
            return Problem(400 if error.reason in _MALFORMED else 401, _NOT_ACCEPTED)
        if isinstance(error, Refusal):
            self._refused(error.reason, scope, **error.fields)
            return error.problem
        if isinstance(error, BodyRefused):
            self._refused(error.reason, scope)
            return error
        if isinstance(error, KeysUnavailable):
            self._emit("callback.unavailable", provider="fal", reason="keys_unavailable", error=str(error))
            return service_unavailable("fal's public keys cannot be had just now")
        if isinstance(error, Unavailable | CannotOpen):
            self._emit("callback.unavailable", provider="fal", reason="ledger_unavailable", error=str(error))
            return service_unavailable("the ledger does not answer just now")
        return internal_error(error)

    def _job_of(self, path: str) -> str:
        token = path[len(CALLBACKS) + 1 :].removesuffix("/")  # the address itself names none
        job_id = self._tokens.job_id(token)
        if job_id is None:
            reason = "token_foreign" if token else "token_missing"
            raise Refusal(reason, Problem(404, "there is no such callback address"))
        return job_id

    async def _verify(self, headers: SignedHeaders, body: bytes) -> None:
        keys = self._keys.fresh or await self._keys.current()
        try:
            verify_signature(headers, body, keys.verify_keys)
        except NoKeyMatches:
            newer = await self._keys.newer_than(keys)  # fal may have changed its keys since ours were fetched
            if newer is None:
                raise
            verify_signature(headers, body, newer.verify_keys)

    async def _record(self, job_id: str, headers: SignedHeaders, body: bytes, callback: Callback) -> RecordResult:
        report = Report(
            job_id=job_id,
            provider="fal",
            source="callback",
            request_id=callback.request_id,
            outcome=callback.outcome,
            headers=_kept(headers),
            body=body,
        )
        result = await self._ledger.record(report)
        if result is RecordResult.FOREIGN:
            raise Refusal("request_of_another_job", Problem(401, _NOT_ACCEPTED), job=job_id)
        state = callback.outcome.state if callback.outcome else "unknown"
        self._emit(
            "callback.recorded",
            provider="fal",
            job=job_id,
            request=callback.request_id,
            state=state,
            result=result,
        )
        return result

    def _refused(self, reason: str, scope: Scope, **fields: object) -> None:
        client = scope["client"][0] if scope.get("client") else None
        self._emit("callback.refused", provider="fal", reason=reason, client=client, **fields)


def _answer(result: RecordResult) -> tuple[Message, Message]:
    body = msgspec.json.encode({"result": result})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return (
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


_ANSWERS = {result: _answer(result) for result in RecordResult}


def _kept(headers: SignedHeaders) -> str:
    """Keep what was signed, so that a receipt can be verified again."""
    kept = {
        "x-fal-webhook-request-id": headers.request_id,
        "x-fal-webhook-user-id": headers.user_id,
        "x-fal-webhook-timestamp": headers.timestamp,
        "x-fal-webhook-signature": headers.signature.hex(),
    }
    return msgspec.json.encode(kept).decode()
