"""The queue's upkeep: what has come due is promoted, what dead workers did put back, and what has no task given one."""

from collections.abc import Collection, Mapping, Sequence

from ledger.requests import Kind
from ledger.storage.store import Store
from ledger.storage.transaction import Call, Rows, Transaction

STALLED_SECONDS = 20.0
"""How long without a word from a worker means that it is dead."""

PAGE = 1_000
"""Rows looked through in one transaction: a statement's time is bounded, the ledger's size is not."""

MOST_WAITING = 1_000
"""Tasks of a kind that wait in Procrastinate's queue, of those that were due later."""

_KINDS: tuple[Kind, ...] = ("submit", "poll", "deliver")

_OPEN: tuple[tuple[str, Kind], ...] = (
    ("accepted", "submit"),
    ("submitting", "submit"),
    ("unconfirmed", "submit"),
    ("submitted", "poll"),
)
"""What an open job waits for, by its state."""


def promote(*, now: int) -> Transaction[int]:
    """Put what is due at `now` (ms) into Procrastinate's queue, as far as there is room. Returns how many."""
    steps = tuple(
        Call("promote_work", {"kind": kind, "now": now, "limit": MOST_WAITING}, wakes_each="queue_name")
        for kind in _KINDS
    )
    return Transaction(steps=steps, values={}, read=lambda rows: sum(map(len, rows)))


async def next_due(store: Store) -> int | None:
    """Tell when the next work is due, in ms; None when there is none."""
    due_at: int | None = (await store.read("next_due", {}))[0]["due_at"]
    return due_at


def recover(*, lease_seconds: float) -> Transaction[int]:
    """Put back what dead workers were doing, and what any has had longer than `lease_seconds`. Returns how many."""
    values = {"stalled_seconds": STALLED_SECONDS, "lease_seconds": lease_seconds}
    steps = (
        Call("forget_dead_workers"),
        Call("drop_overtaken_work"),
        Call("put_back_lost_work", wakes=_KINDS),
    )
    return Transaction(steps=steps, values=values, read=lambda rows: len(rows[-1]))


def live_again(worker_id: int) -> Transaction[None]:
    """Take back that a worker is dead: it is not, and goes on with what it does."""
    return Transaction(steps=(Call("live_again"),), values={"worker_id": worker_id}, read=lambda _: None)


def put_back_unheard(worker_id: int, in_hand: Collection[int]) -> Transaction[None]:
    """Put back what a worker was given and never heard of: all of its tasks but those `in_hand` (their ids)."""
    values = {"worker_id": worker_id, "in_hand": list(in_hand)}
    return Transaction(steps=(Call("put_back_unheard"),), values=values, read=lambda _: None)


async def mend(store: Store) -> int:
    """Give a task to every open job, and every endpoint with something pending, that has none. Returns how many."""
    number = 0
    for state, kind in _OPEN:
        for provider in ("fal", "heygen"):
            values = {"state": state, "kind": kind, "provider": provider}
            number += await _through(store, ("enqueue_forgotten_jobs", "end_of_open_jobs"), values)
    return number + await _through(store, ("enqueue_forgotten_endpoints", "end_of_told_endpoints"), {})


async def _through(store: Store, statements: tuple[str, str], values: Mapping[str, object]) -> int:
    """Run both statements page by page, as far as the second says that there is one."""
    enqueue, end = statements
    number, after = 0, ""
    while True:
        transaction = Transaction(
            steps=(Call(enqueue, wakes_each="queue_name"), Call(end)),
            values={**values, "after": after, "limit": PAGE},
            read=_counted,
        )
        found, last = await store.write(transaction)
        number += found
        if last is None:
            return number
        after = last


def _counted(rows: Sequence[Rows]) -> tuple[int, str | None]:
    return len(rows[0]), rows[1][0]["last"]
