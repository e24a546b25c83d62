"""The receiver, responding after a part of its handling of a callback. BENCH_STAGE says after which.

What each further stage costs is the difference to the one before, under the same load.
"""

import os
from typing import Any

from ledger.records import RecordResult
from ledger.sqlite.store import SQLiteStore
from ledger.storage.transaction import Transaction
from receiver.callbacks.application import Callbacks, verify
from receiver.callbacks.bodies import check_callback_length, read_callback_body
from receiver.callbacks.sources import Source
from renderhook.cli import main

STAGE = os.environ.get("BENCH_STAGE", "everything")
STAGES = ("server", "token", "headers", "body", "signature", "parsing", "fact and answer", "everything")
write = SQLiteStore.write


async def receive_a_part(self: Callbacks, source: Source, token: str, scope: Any, receive: Any) -> RecordResult:
    """Do as `Callbacks._receive` does, and stop after the stage."""
    done = STAGES.index(STAGE)
    if done >= 1:
        check_callback_length(scope["headers"], limit=self._max_result_bytes)
        job_id = self._read_token(token)
    if done >= 2:
        opened = source.webhook.open(scope["headers"], self._clock())
    if done >= 3:
        hashed = source.webhook.body_hash(opened)
        body = await read_callback_body(receive, hashed, limit=self._max_result_bytes)
    if done >= 4:
        await verify(source, opened, hashed)
    if done >= 5:
        callback = await self._parse(source, job_id, opened, body)
    if done >= 6:
        return await self._record(source, job_id, opened, body, callback)
    return RecordResult.RECORDED


async def write_nothing(self: SQLiteStore, transaction: Transaction[Any]) -> Any:
    """Write everything but what callbacks record."""
    return RecordResult.RECORDED if transaction.steps[0].statement == "settle_job" else await write(self, transaction)


if __name__ == "__main__":
    Callbacks._receive = receive_a_part  # type: ignore[method-assign]  # the measurement cuts the handling short
    if STAGE != "everything":
        SQLiteStore.write = write_nothing  # type: ignore[method-assign]  # the stage before the ledger
    main(["serve"])
