"""No secret is in any event, log line or metric."""

import asyncio

from ledger.ledger import Ledger
from outbound.targets import Targets
from providers.fal.provider import FalAccount
from providers.http import Request, Response, Unread
from providers.provider import Context
from receiver.notifier.attempts import AttemptSender
from receiver.notifier.notifier import Notifier
from submitter.submit import Submitter
from tests.ledger.conftest import ms
from tests.receiver.conftest import MakeReceiver
from tests.receiver.endpoints import SECRETS
from tests.receiver.harness import API_KEY, SECRET_KEY, Receiver, callback_body

FAL_KEY = "fal-key-id:fal-key-secret"


def submitter(receiver: Receiver, send: object) -> Submitter:
    account = FalAccount(
        queue_url="https://queue.fal.run",
        key=FAL_KEY,
        context=Context(provider="fal", public_url="https://renderhook.example", tokens=receiver.tokens),
        poll_every=5000,
        reconcile_every=60_000,
        give_up_after=86_400_000,
    )
    return Submitter(
        Ledger(receiver.store, receiver.clock),
        {"fal": account},
        send,  # type: ignore[arg-type]  # a function that is called as a Send is
        clock=receiver.clock,
        emit=receiver.emit,
        resubmit="never",
        lease_ms=60_000,
        give_up_after=3_600_000,
    )


async def test_no_secret_is_emitted_from_the_request_to_the_notification(make_receiver: MakeReceiver) -> None:
    receiver, sent = make_receiver(), []

    async def fal(request: Request) -> Response:
        sent.append(request)
        return Response(status=200, body=b'{"request_id": "req-1"}')

    async def endpoint(request: Request) -> Response:
        sent.append(request)
        if len(sent) == 2:
            raise Unread("ServerDisconnectedError: Server disconnected")
        return Response(status=200, body=b"the-answer-of-the-endpoint")

    body = {"provider": "fal", "model": "a/b", "input": {"prompt": "the-input-of-the-user"}}
    body |= {"notify": ["https://u.example/hooks/the-path?token=the-token-of-the-url"]}
    created = await receiver.http.post("/v1/jobs", json=body, headers={"idempotency-key": "the-idempotency-key"})
    job_id = created.json()["id"]
    for task in await receiver.scenario.fetch("submit", at=0):
        await submitter(receiver, fal).handle(task)
    await receiver.call_back(job_id, key=None)
    await receiver.call_back(job_id, headers=[*receiver.fal.sign(b""), ("x-fal-webhook-signature", "ab" * 64)])
    await receiver.http.post(f"/callbacks/fal/{receiver.tokens.sign(job_id)}x", content=b"")
    await receiver.http.get("/v1/jobs", headers={"authorization": "Bearer a-wrong-key-of-anyone"})
    sender = AttemptSender(
        receiver.ledger, endpoint, Targets(()), clock=receiver.clock, emit=receiver.emit, secrets=SECRETS, at_once=9
    )
    notifier = Notifier(receiver.ledger, sender, clock=receiver.clock, hold_ms=20_000, stop=asyncio.Event(), at_once=1)
    for at in (0, 10):
        receiver.clock.now = ms(at)
        for task in await receiver.scenario.fetch("deliver", at=at):
            await notifier.handle(task)

    said = repr(receiver.emitted) + (await receiver.http.get("/metrics")).text
    assert {"job.accepted", "job.submitted", "callback.recorded", "callback.refused", "delivery.finished"} <= {
        fact for fact, _ in receiver.emitted
    }
    token = receiver.tokens.sign(job_id)
    signature = dict(receiver.fal.sign(callback_body()))["x-fal-webhook-signature"]
    secrets = [SECRET_KEY, API_KEY, FAL_KEY, "fal-key-secret", token, token.rpartition(".")[2], signature, "ab" * 64]
    secrets += [secret.decode() for secret in SECRETS]
    secrets += [request.headers.get("webhook-signature", "v1,none") for request in sent]
    secrets += [
        "the-input-of-the-user",
        "the-answer-of-the-endpoint",
        "the-idempotency-key",
        "a-wrong-key-of-anyone",
    ]
    secrets += ["the-token-of-the-url", "the-path", "b.mp4"]
    assert [secret for secret in secrets if secret in said] == []
    assert len(sent) >= 4
