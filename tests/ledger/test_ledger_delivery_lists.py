"""Deliveries by a filter: listed page by page, each page from a limited number of rows, and replayed once each."""

import pytest

from ledger.requests import ALWAYS, Attempted, DeliveryFilter, Ending
from ledger.rows import Delivery
from ledger.storage.store import Store
from ledger.transitions import deliveries, delivery_lists, endpoints
from ledger.transitions.delivery_lists import list_deliveries, replay_deliveries
from tests.ledger.conftest import Scenario, ms

REFUSED = Attempted(at=ms(1), latency_ms=1, status=500, error=None, response=b"")
ENDINGS: tuple[Ending | None, ...] = ("delivered", "dead", "discarded", None)
NUMBER = 12


@pytest.fixture
async def made(scenario: Scenario) -> list[Delivery]:
    """Deliveries of `job.submitted` to two endpoints, a second apart, in every state; the newest first."""
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    for number in range(NUMBER):
        job_id = await scenario.submit(f"req-{number}", at=number, notify=("https://other.example/",))
        for each in await deliveries.list_deliveries_of_subject(scenario.store, job_id):
            ending = ENDINGS[number % len(ENDINGS)]
            if ending:
                await scenario.store.write(deliveries.finish(each.id, REFUSED, ending, now=ms(number), reason="why"))
    everything = await list_deliveries(scenario.store, DeliveryFilter(), limit=100)
    return list(everything.deliveries)


async def listed(store: Store, wanted: DeliveryFilter, *, limit: int = 3) -> list[Delivery]:
    """Read every page."""
    found: list[Delivery] = []
    page = await list_deliveries(store, wanted, limit=limit)
    while True:
        assert len(page.deliveries) <= limit
        found += page.deliveries
        if page.next_cursor is None:
            return found
        page = await list_deliveries(store, wanted, limit=limit, before=page.next_cursor)


def filters(made: list[Delivery]) -> list[DeliveryFilter]:
    endpoint_id = made[0].endpoint_id
    times = [(0, ALWAYS), (ms(3), ALWAYS), (0, ms(9)), (ms(3), ms(9)), (ms(50), ALWAYS)]
    return [
        DeliveryFilter(state=state, endpoint_id=endpoint, since=since, until=until)
        for state in (None, "pending", "delivered", "dead", "discarded")
        for endpoint in (None, endpoint_id)
        for since, until in times
    ]


async def test_every_filter_lists_the_deliveries_that_match_newest_first(
    scenario: Scenario, made: list[Delivery]
) -> None:
    assert len(made) == 2 * NUMBER
    for wanted in filters(made):
        assert await listed(scenario.store, wanted) == [each for each in made if wanted.matches(each)], wanted


@pytest.mark.parametrize("most", [1, 5, 2 * NUMBER, 2 * NUMBER + 1])
async def test_a_page_reads_a_limited_number_of_deliveries(
    scenario: Scenario, made: list[Delivery], monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(delivery_lists, "MOST_READ", most)
    for wanted in filters(made):
        assert await listed(scenario.store, wanted) == [each for each in made if wanted.matches(each)], wanted
    page = await list_deliveries(scenario.store, DeliveryFilter(state="delivered", since=ms(50)), limit=3)
    assert (page.deliveries, page.next_cursor is None) == ((), most > 2 * NUMBER)


async def test_the_deliveries_of_a_subject_are_listed_in_the_order_of_its_events(
    scenario: Scenario, made: list[Delivery]
) -> None:
    job_id = made[0].subject
    await scenario.report(job_id, request_id=f"req-{NUMBER - 1}", at=60)
    page = await list_deliveries(scenario.store, DeliveryFilter(subject=job_id), limit=1)
    assert ([each.sequence for each in page.deliveries], page.next_cursor) == ([2, 2, 3, 3], None)
    later = await list_deliveries(scenario.store, DeliveryFilter(subject=job_id, since=ms(60)), limit=1)
    assert [each.sequence for each in later.deliveries] == [3, 3]


@pytest.mark.parametrize("at_once", [1, 4, 500])
async def test_deliveries_that_match_a_filter_are_replayed_once_and_no_others(
    scenario: Scenario, made: list[Delivery], monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(delivery_lists, "REPLAYED_AT_ONCE", at_once)
    wanted = DeliveryFilter(state="delivered", endpoint_id=made[0].endpoint_id, since=ms(3))
    chosen = {each.id for each in made if wanted.matches(each)}
    assert len(chosen) == 2
    assert await replay_deliveries(scenario.store, wanted, now=ms(100)) == len(chosen)
    after = await listed(scenario.store, DeliveryFilter())
    assert {each.id for each in after if each.due_at == ms(100)} == chosen
    assert {each for each in after if each.id not in chosen} == {each for each in made if each.id not in chosen}
    assert await replay_deliveries(scenario.store, wanted, now=ms(101)) == 0


async def test_a_replay_by_filter_enqueues_every_endpoint(scenario: Scenario) -> None:
    await scenario.store.write(endpoints.put_settings_endpoint("https://user.example/hooks", now=ms(0)))
    job_id = await scenario.submit(notify=("https://other.example/",))
    found = await deliveries.list_deliveries_of_subject(scenario.store, job_id)
    tasks = await scenario.fetch("deliver", at=2)
    for each in found:
        await scenario.store.write(deliveries.finish(each.id, REFUSED, "dead", now=ms(3), reason="why"))
    for task in tasks:
        await scenario.store.write(deliveries.release(task, now=ms(4)))
    assert await scenario.fetch("deliver", at=5) == []
    assert await replay_deliveries(scenario.store, DeliveryFilter(state="dead"), now=ms(6)) == 2
    due = await scenario.fetch("deliver", at=6)
    assert {task.subject for task in due} == {each.endpoint_id for each in found}
    assert len(due) == 2
