"""The callbacks of every provider, at `/callbacks/{provider}/{token}`: verified, recorded, and only then answered.

Each check costs more than the one before: size, token, headers, body, signature, content. The response does not say
why a callback was refused; the log and the metrics do.
"""

from collections.abc import Mapping

import msgspec
from starlette.types import Message, Receive, Scope, Send

from ledger.clock import Clock
from ledger.errors import CannotOpen, Unavailable
from ledger.ledger import Ledger
from ledger.records import RecordResult
from ledger.requests import Report
from providers.callback_tokens import CallbackTokens
from providers.errors import NoKeyMatches, Reason, Unverified
from providers.provider import CALLBACKS, Callback
from receiver.callbacks.keys import KeysUnavailable
from receiver.callbacks.sources import Source
from receiver.web.bodies import BodyRefused, check_declared_length, read_body
from receiver.web.problems import Problem, database_problem, internal_error, service_unavailable
from telemetry.emit import Emit
from work.job_endings import emit_ending

_MALFORMED = frozenset({Reason.BODY_NOT_JSON, Reason.BODY_MALFORMED, Reason.REQUEST_ID_DIFFERS})

_NOT_ACCEPTED = "the callback was not accepted"

_NOT_FOUND = Problem(404, "there is no such callback address")


class Refusal(Exception):
    """A callback that is refused for its address or its job: the reason for log and metrics, and the response."""

    def __init__(self, reason: str, problem: Problem, **fields: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.problem = problem
        self.fields = fields


class Callbacks:
    """The ASGI application. `sources` are the providers that send callbacks, by name."""

    def __init__(
        self,
        ledger: Ledger,
        sources: Mapping[str, Source],
        tokens: CallbackTokens,
        *,
        clock: Clock,
        emit: Emit,
        max_body_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._sources = sources
        self._tokens = tokens
        self._clock = clock
        self._emit = emit
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one callback: 2xx only when it is recorded durably, 503 when the provider should send it again."""
        name, _, token = scope["path"].removeprefix(CALLBACKS).partition("/")
        source = self._sources.get(name)
        if source is None:
            await _NOT_FOUND.response()(scope, receive, send)
            return
        try:
            head, body = _RESPONSES[await self._receive(source, token, scope, receive)]
        except Exception as error:  # no Starlette around this application handles what was not foreseen
            problem = self._problem(error, source.provider, scope)
            await problem.response()(scope, receive, send)
            if problem.status == 500:
                raise  # the server logs the traceback
        else:
            await send(head)
            await send(body)

    async def _receive(self, source: Source, token: str, scope: Scope, receive: Receive) -> RecordResult:
        if scope["method"] != "POST":
            raise Refusal("wrong_method", Problem(405, "callbacks are POSTed", headers={"Allow": "POST"}))
        check_declared_length(scope["headers"], self._max_body_bytes)
        job_id = self._read_token(token.removesuffix("/"))
        opened = source.webhook.open(scope["headers"], self._clock())
        body = await read_body(receive, self._max_body_bytes)
        await verify(source, opened, body)
        callback = source.webhook.parse(opened, body)
        return await self._record(source, job_id, opened, body, callback)

    def _read_token(self, token: str) -> str:
        job_id = self._tokens.job_id(token)
        if job_id is None:
            raise Refusal("token_foreign" if token else "token_missing", _NOT_FOUND)
        return job_id

    async def _record(
        self, source: Source, job_id: str, opened: object, body: bytes, callback: Callback
    ) -> RecordResult:
        report = Report(
            job_id=job_id,
            provider=source.provider,
            source="callback",
            request_id=callback.request_id,
            outcome=callback.outcome,
            headers=msgspec.json.encode(source.webhook.receipt_headers(opened)).decode(),
            body=body,
        )
        result = await self._ledger.record(report)
        if result is RecordResult.FOREIGN:
            raise Refusal("request_of_another_job", Problem(401, _NOT_ACCEPTED), job=job_id)
        self._emit(
            "callback.recorded",
            provider=source.provider,
            job=job_id,
            request=callback.request_id,
            state=callback.outcome.state if callback.outcome else "unknown",
            result=result,
        )
        if result is RecordResult.RECORDED and callback.outcome is not None:
            emit_ending(
                self._emit,
                callback.outcome,
                job=job_id,
                provider=source.provider,
                source="callback",
                request=callback.request_id,
            )
        return result

    def _problem(self, error: Exception, provider: str, scope: Scope) -> Problem:
        """Return the response to an exception, by what the provider should do next, and emit the reason."""
        if isinstance(error, Unverified):
            self._emit_refused(error.reason.value, provider, scope)
            return Problem(400 if error.reason in _MALFORMED else 401, _NOT_ACCEPTED)
        if isinstance(error, Refusal):
            self._emit_refused(error.reason, provider, scope, **error.fields)
            return error.problem
        if isinstance(error, BodyRefused):
            self._emit_refused(error.reason, provider, scope)
            return error
        if isinstance(error, KeysUnavailable):
            self._emit("callback.deferred", provider=provider, reason="keys_unavailable", error=str(error))
            return service_unavailable(f"the keys of {provider} are not available")
        if isinstance(error, Unavailable | CannotOpen):
            self._emit("callback.deferred", provider=provider, reason="database_unavailable", error=str(error))
            return database_problem(error)
        return internal_error(error)

    def _emit_refused(self, reason: str, provider: str, scope: Scope, **fields: object) -> None:
        client = scope["client"][0] if scope.get("client") else None
        self._emit("callback.refused", provider=provider, reason=reason, client=client, **fields)


async def verify(source: Source, opened: object, body: bytes) -> None:
    """Verify a body with the source's keys, and with newer ones when none of them matches. Raises `Unverified`."""
    keys = source.keys.fresh or await source.keys.current()
    try:
        source.webhook.verify(opened, body, keys.verify_keys)
    except NoKeyMatches:
        newer = await source.keys.newer_than(keys)  # the provider may have changed its keys since
        if newer is None:
            raise
        source.webhook.verify(opened, body, newer.verify_keys)


def _response(result: RecordResult) -> tuple[Message, Message]:
    body = msgspec.json.encode({"result": result})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return (
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


_RESPONSES = {result: _response(result) for result in RecordResult}
