"""The callbacks of every provider, at `/callbacks/{provider}/{token}`: verified, recorded, and only then answered.

Each check costs more than the one before: size, token, headers, body, signature, content. The response does not say
why a callback was refused; the log and the metrics do. What is verified is kept, whatever it holds: if its outcome
cannot be read, a poll is due.
"""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.types import Message, Receive, Scope, Send

from ledger.clock import Clock
from ledger.errors import CannotOpen, Contradiction, Unavailable
from ledger.ledger import Ledger
from ledger.records import RecordResult
from ledger.requests import Report
from providers.callback_tokens import CallbackTokens
from providers.errors import Malformed, NoKeyMatches, Reason, Unverified
from providers.provider import CALLBACKS, BodyHash, Callback
from receiver.callbacks.bodies import CallbackBody, check_callback_length, read_callback_body
from receiver.callbacks.keys import KeysUnavailable
from receiver.callbacks.sources import Source
from receiver.web.bodies import BodyRefused
from receiver.web.problems import Problem, database_problem, internal_error, service_unavailable
from telemetry.emit import Emit
from work.job_endings import emit_ending
from work.off_loop import run_off_loop

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
        max_result_bytes: int,
    ) -> None:
        self._ledger = ledger
        self._sources = sources
        self._tokens = tokens
        self._clock = clock
        self._emit = emit
        self._max_result_bytes = max_result_bytes

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
        check_callback_length(scope["headers"], limit=self._max_result_bytes)
        job_id = self._read_token(token.removesuffix("/"))
        opened = source.webhook.open(scope["headers"], self._clock())
        hashed = source.webhook.body_hash(opened)
        body = await read_callback_body(receive, hashed, limit=self._max_result_bytes)
        await verify(source, opened, hashed)
        callback = await self._parse(source, job_id, opened, body)
        return await self._record(source, job_id, opened, body, callback)

    def _read_token(self, token: str) -> str:
        job_id = self._tokens.job_id(token)
        if job_id is None:
            raise Refusal("token_foreign" if token else "token_missing", _NOT_FOUND)
        return job_id

    async def _parse(self, source: Source, job_id: str, opened: Any, body: CallbackBody) -> Callback:
        """Read a verified body. If that fails, it has no outcome, so that a poll is due. Raises `Unverified`."""
        if body.kept is None:
            error = f"{body.length} bytes are more than MAX_RESULT_BYTES"
            return self._unread(source, job_id, opened, "too_long", error)
        try:
            return await run_off_loop(len(body.kept), source.webhook.parse, opened, body.kept)
        except Unverified:
            raise
        except Malformed as error:
            return self._unread(source, job_id, opened, "unreadable", str(error))
        except Exception as error:  # noqa: BLE001 - the code of an installed provider may raise anything
            return self._unread(source, job_id, opened, "provider_raised", type(error).__name__)

    def _unread(self, source: Source, job_id: str, opened: Any, reason: str, error: str) -> Callback:
        self._emit_unread(source, job_id, reason, error)
        return Callback(request_id=source.webhook.request_id(opened))

    def _emit_unread(self, source: Source, job_id: str, reason: str, error: str) -> None:
        self._emit("callback.unread", provider=source.provider, job=job_id, reason=reason, error=error)

    async def _record(
        self, source: Source, job_id: str, opened: Any, body: CallbackBody, callback: Callback
    ) -> RecordResult:
        headers = dict(source.webhook.receipt_headers(opened))
        if body.kept is None:
            headers["content-length"] = str(body.length)
        report = Report(
            job_id=job_id,
            provider=source.provider,
            source="callback",
            request_id=callback.request_id,
            outcome=callback.outcome,
            headers=msgspec.json.encode(headers).decode(),
            body=body.kept or b"",
            ours=source.webhook.proves_account,
        )
        try:
            result = await self._ledger.record(report)
        except Contradiction as error:  # an installed provider's outcome may be one that the database rejects
            self._emit_unread(source, job_id, "unrecordable", str(error))
            callback = msgspec.structs.replace(callback, outcome=None)
            result = await self._ledger.record(msgspec.structs.replace(report, outcome=None))
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
            return Problem(400 if error.reason is Reason.REQUEST_ID_DIFFERS else 401, _NOT_ACCEPTED)
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


async def verify(source: Source, opened: Any, hashed: BodyHash) -> None:
    """Verify a body with the source's keys, and with newer ones when none of them matches. Raises `Unverified`."""
    keys = source.keys.fresh or await source.keys.current()
    try:
        source.webhook.verify(opened, hashed, keys.verify_keys)
    except NoKeyMatches:
        newer = await source.keys.newer_than(keys)  # the provider may have changed its keys since
        if newer is None:
            raise
        source.webhook.verify(opened, hashed, newer.verify_keys)


def _response(result: RecordResult) -> tuple[Message, Message]:
    body = msgspec.json.encode({"result": result})
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    return (
        {"type": "http.response.start", "status": 200, "headers": headers},
        {"type": "http.response.body", "body": body},
    )


_RESPONSES = {result: _response(result) for result in RecordResult}
