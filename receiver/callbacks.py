"""fal's callbacks: believed in the cheapest order, recorded, and only then answered.

size, token, header shape, account, timestamp, signature, body, and that header and body name the same request.
The reply never says why a callback was refused; the log and the metric do.
https://fal.ai/docs/documentation/model-apis/inference/webhooks.md
"""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from ledger import outcomes
from ledger.clock import Clock
from ledger.errors import CannotOpen, Unavailable
from ledger.facts import Announce
from ledger.outcomes import Report
from ledger.records import RecordResult
from ledger.store import Store
from ledger.tokens import CallbackTokens
from providers.fal.callbacks import (
    Callback,
    SignedHeaders,
    check_account,
    check_timestamp,
    parse_callback,
    read_headers,
    verify_signature,
)
from providers.refusals import NoKeyMatches, Reason, Unverified
from receiver.bodies import BodyRefused, check_declared_length, read_body
from receiver.keys import KeyRing, KeysUnavailable
from receiver.problems import Problem, not_just_now

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
    """Answers `/callbacks/fal/{token}`. `account` is FAL_WEBHOOK_USER_ID, `tolerance_seconds` fal's 300."""

    def __init__(
        self,
        store: Store,
        keys: KeyRing,
        tokens: CallbackTokens,
        *,
        clock: Clock,
        announce: Announce,
        account: str | None,
        tolerance_seconds: int,
        max_body_bytes: int,
    ) -> None:
        self._store = store
        self._keys = keys
        self._tokens = tokens
        self._clock = clock
        self._announce = announce
        self._account = account
        self._tolerance_seconds = tolerance_seconds
        self._max_body_bytes = max_body_bytes

    async def receive(self, request: Request) -> Response:
        """Take one callback. 2xx only when its effect is on disk; 503 when nobody can say, so that fal tries again."""
        try:
            return await self._receive(request)
        except Unverified as error:
            self._refused(error.reason.value, request)
            raise Problem(400 if error.reason in _MALFORMED else 401, _NOT_ACCEPTED) from error
        except Refusal as refusal:
            self._refused(refusal.reason, request, **refusal.fields)
            raise refusal.problem from refusal
        except BodyRefused as problem:
            self._refused(problem.reason, request)
            raise
        except KeysUnavailable as error:
            self._announce("callback.unavailable", provider="fal", reason="keys_unavailable", error=str(error))
            raise not_just_now("fal's public keys cannot be had just now") from error
        except (Unavailable, CannotOpen) as error:
            self._announce("callback.unavailable", provider="fal", reason="ledger_unavailable", error=str(error))
            raise not_just_now("the ledger does not answer just now") from error

    async def _receive(self, request: Request) -> Response:
        if request.method != "POST":
            raise Refusal("wrong_method", Problem(405, "callbacks are POSTed", headers={"Allow": "POST"}))
        check_declared_length(request, self._max_body_bytes)
        job_id = self._job_of(request)
        headers = read_headers(request.scope["headers"])
        check_account(headers, self._account)
        check_timestamp(headers, self._clock(), self._tolerance_seconds)
        body = await read_body(request, self._max_body_bytes)
        await self._verify(headers, body)
        return await self._record(job_id, headers, body, parse_callback(body, headers))

    def _job_of(self, request: Request) -> str:
        token: str = request.path_params.get("token", "").removesuffix("/")  # `/callbacks/fal` names none
        job_id = self._tokens.job_id(token)
        if job_id is None:
            reason = "token_foreign" if token else "token_missing"
            raise Refusal(reason, Problem(404, "there is no such callback address"))
        return job_id

    async def _verify(self, headers: SignedHeaders, body: bytes) -> None:
        keys = await self._keys.current()
        try:
            verify_signature(headers, body, keys.verify_keys)
        except NoKeyMatches:
            newer = await self._keys.newer_than(keys)  # fal may have changed its keys since ours were fetched
            if newer is None:
                raise
            verify_signature(headers, body, newer.verify_keys)

    async def _record(self, job_id: str, headers: SignedHeaders, body: bytes, callback: Callback) -> Response:
        report = Report(
            job_id=job_id,
            provider="fal",
            source="callback",
            request_id=callback.request_id,
            outcome=callback.outcome,
            headers=_kept(headers),
            body=body,
        )
        result = await self._store.write(outcomes.record(report, now=self._clock()))
        if result is RecordResult.FOREIGN:
            raise Refusal("request_of_another_job", Problem(401, _NOT_ACCEPTED), job=job_id)
        state = callback.outcome.state if callback.outcome else "unknown"
        self._announce(
            "callback.recorded",
            provider="fal",
            job=job_id,
            request=callback.request_id,
            state=state,
            result=result,
        )
        return Response(msgspec.json.encode({"result": result}), media_type="application/json")

    def _refused(self, reason: str, request: Request, **fields: object) -> None:
        client = request.client.host if request.client else None
        self._announce("callback.refused", provider="fal", reason=reason, client=client, **fields)


def _kept(headers: SignedHeaders) -> str:
    """Keep what was signed, so that a receipt can be verified again."""
    kept = {
        "x-fal-webhook-request-id": headers.request_id,
        "x-fal-webhook-user-id": headers.user_id,
        "x-fal-webhook-timestamp": headers.timestamp,
        "x-fal-webhook-signature": headers.signature.hex(),
    }
    return msgspec.json.encode(kept).decode()
