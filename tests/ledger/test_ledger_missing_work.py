"""`enqueue_missing` on both databases: open jobs and endpoints without a task get one."""

import re

import pytest

from ledger.storage.statements import Dialect, statements
from ledger.storage.store import Store
from ledger.transitions import endpoints
from ledger.transitions import queue as work
from ledger.transitions.endpoints import SETTINGS_ENDPOINT
from ledger.transitions.queue import enqueue_missing
from tests.ledger import queues
from tests.ledger.conftest import Scenario, ms


async def test_exactly_the_open_jobs_and_endpoints_without_a_task_get_one(scenario: Scenario, store: Store) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    accepted, submitted = await scenario.accept(), await scenario.submit("req-1")
    claimed = await scenario.accept(provider="heygen")
    await scenario.begin(claimed)
    ended = await scenario.submit("req-2")
    await scenario.report(ended, request_id="req-2")
    assert await enqueue_missing(store, now=ms(9)) == 0
    await queues.ask(store, "DELETE FROM work")
    assert await enqueue_missing(store, now=ms(9)) == 4
    expected = {("submit", accepted), ("submit", claimed), ("poll", submitted), ("deliver", SETTINGS_ENDPOINT)}
    assert set(await queues.queued(store)) == expected
    for kind in ("submit", "poll", "deliver"):
        await scenario.fetch(kind, at=9)
    assert await enqueue_missing(store, now=ms(9)) == 0


async def test_missing_work_is_enqueued_page_by_page(
    scenario: Scenario, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(work, "PAGE", 3)
    for number in range(8):
        await scenario.submit(f"req-{number}", notify=(f"https://user.example/{number}",))
    await queues.ask(store, "DELETE FROM work")
    assert await enqueue_missing(store, now=ms(9)) == 16
    assert await enqueue_missing(store, now=ms(9)) == 0


async def test_a_task_that_is_due_later_than_the_delivery_becomes_due_with_it(scenario: Scenario, store: Store) -> None:
    await store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    await scenario.submit("req-1")
    await queues.ask(store, f"UPDATE work SET due_at = {ms(18_000)} WHERE kind = 'deliver'")
    assert await enqueue_missing(store, now=ms(9)) == 1
    assert [task.subject for task in await scenario.fetch("deliver", at=9)] == [SETTINGS_ENDPOINT]


async def test_the_kinds_of_work_are_those_of_the_table(store: Store) -> None:
    rows = await queues.ask(store, "SELECT name FROM work_kinds ORDER BY priority")
    assert tuple(row["name"] for row in rows) == work.Kind.__args__  # type: ignore[attr-defined]  # typing.Literal has it


@pytest.mark.parametrize("dialect", ["sqlite", "postgres"])
def test_no_statement_names_a_kind_that_is_not_in_the_table(dialect: Dialect) -> None:
    texts = " ".join(statement.text for statement in statements(dialect).values())
    clauses = re.findall(r"kind = '\w+'|kind IN \([^)]*\)|'\w+' AS kind", texts)
    assert set(re.findall(r"'(\w+)'", " ".join(clauses))) == set(work.Kind.__args__)  # type: ignore[attr-defined]  # typing.Literal has it
