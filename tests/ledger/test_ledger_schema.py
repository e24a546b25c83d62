"""The constraints of the schema: contradictory rows are refused."""

import pytest

from tests.ledger.tables import EVENT, GOOD, RECEIPT, Refused, Tables, tables

__all__ = ["tables"]

ENDED: dict[str, object] = {"finalized_at": 2, "fingerprint": "f"}
ERROR: dict[str, object] = {"error_fault": "renderhook", "error_code": "c", "error_message": "m", "error_retryable": 0}
DELIVERY: dict[str, object] = {
    "id": "msg_job_00000_1_settings",
    "subject": "job_00000",
    "sequence": 1,
    "endpoint_id": "ep_settings",
    "state": "pending",
    "created_at": 1,
    "due_at": 1,
}


@pytest.mark.parametrize(
    "row",
    [
        GOOD,
        GOOD | {"state": "submitting", "claimed_until": 3},
        GOOD | {"state": "unconfirmed", "unconfirmed_at": 3},
        GOOD | {"state": "submitted", "provider_request_id": "r", "submitted_at": 2},
        GOOD | {"state": "completed"} | ENDED,
        GOOD | {"state": "failed"} | ENDED | ERROR,
        GOOD | {"state": "canceled"} | ENDED,
        GOOD | {"state": "expired"} | ENDED | ERROR,
    ],
)
def test_a_consistent_row_is_accepted(tables: Tables, row: dict[str, object]) -> None:
    tables.insert("jobs", row)


@pytest.mark.parametrize(
    ("row", "contradiction"),
    [
        (GOOD | {"state": "completed"}, "ended without finalized_at"),
        (GOOD | {"finalized_at": 2}, "finalized_at of an open job"),
        (GOOD | {"state": "completed", "finalized_at": 2}, "an ending without a fingerprint"),
        (GOOD | {"state": "submitting"}, "submitting without claimed_until"),
        (GOOD | {"claimed_until": 3}, "claimed_until of an accepted job"),
        (GOOD | {"state": "submitted"}, "submitted without a request"),
        (GOOD | {"state": "unconfirmed"}, "unconfirmed without unconfirmed_at"),
        (GOOD | {"state": "failed"} | ENDED, "failed without an error"),
        (GOOD | {"state": "completed"} | ENDED | ERROR, "completed with an error"),
        (GOOD | {"state": "failed"} | ENDED | ERROR | {"error_code": None}, "half an error"),
        (GOOD | {"source": "poll"}, "a source of an open job"),
        (GOOD | {"state": "done"}, "an unknown word"),
        (GOOD | {"provider": ""}, "a provider without a name"),
        (GOOD | {"submissions": -1}, "a negative number"),
        (GOOD | {"created_at": "yesterday"}, "a time that is text"),
    ],
)
def test_a_contradiction_is_refused(tables: Tables, row: dict[str, object], contradiction: str) -> None:
    with pytest.raises(Refused):
        tables.insert("jobs", row)


def test_a_request_belongs_to_one_job_and_a_key_to_one_request(tables: Tables) -> None:
    tables.insert("jobs", GOOD | {"provider_request_id": "r", "idempotency_key": "k"})
    for twin in ({"provider_request_id": "r"}, {"idempotency_key": "k"}):
        with pytest.raises(Refused):
            tables.insert("jobs", GOOD | {"id": "job_00001"} | twin)


def test_a_reference_to_a_row_that_does_not_exist_is_refused(tables: Tables) -> None:
    rows: list[tuple[str, dict[str, object]]] = [
        ("inputs", {"job_id": "job_none0", "input": "{}", "metadata": "{}"}),
        ("outputs", {"job_id": "job_none0", "position": 1, "url": "u"}),
        ("deliveries", DELIVERY),
        ("subscriptions", {"job_id": "job_none0", "endpoint_id": "ep_none"}),
        ("attempts", {"delivery_id": "msg_none", "number": 1, "at": 1, "latency_ms": 1}),
    ]
    for table, row in rows:
        with pytest.raises(Refused):
            tables.insert(table, row)


def test_a_job_has_one_input(tables: Tables) -> None:
    given = {"job_id": GOOD["id"], "input": "{}", "metadata": "{}"}
    tables.insert("jobs", GOOD)
    tables.insert("inputs", given)
    with pytest.raises(Refused, match=r"(?i)unique"):
        tables.insert("inputs", given)


def test_a_report_is_kept_once(tables: Tables) -> None:
    tables.insert("receipts", RECEIPT)
    with pytest.raises(Refused, match=r"(?i)unique"):
        tables.insert("receipts", RECEIPT)


@pytest.fixture
def with_events_and_endpoints(tables: Tables) -> Tables:
    """A job, its first two events, and two endpoints."""
    tables.insert("jobs", GOOD)
    for sequence in (1, 2):
        tables.insert("events", EVENT | {"sequence": sequence})
    for name in ("settings", "other"):
        tables.insert("endpoints", {"id": f"ep_{name}", "url": name, "source": "job", "created_at": 1})
    return tables


def test_an_endpoint_gets_one_delivery_of_an_event(with_events_and_endpoints: Tables) -> None:
    with_events_and_endpoints.insert("deliveries", DELIVERY)
    with pytest.raises(Refused, match=r"(?i)unique"):
        with_events_and_endpoints.insert("deliveries", DELIVERY)


@pytest.mark.parametrize(
    "other_id",
    [
        "msg_job_00000_2_settings",
        "msg_job_00000_1_other",
        "msg_job_00001_1_settings",
        "msg_job_00000_1_settings2",
        "msg_00000_1_settings",
        "settings",
        "",
    ],
)
def test_the_id_of_a_delivery_is_made_of_its_event_and_endpoint(
    with_events_and_endpoints: Tables, other_id: str
) -> None:
    with pytest.raises(Refused, match=r"(?i)check"):
        with_events_and_endpoints.insert("deliveries", DELIVERY | {"id": other_id})


def test_the_same_notify_url_is_one_endpoint(tables: Tables) -> None:
    tables.insert("endpoints", {"id": "ep_1", "url": "https://a.example/", "source": "job", "created_at": 1})
    with pytest.raises(Refused, match=r"(?i)unique"):
        tables.insert("endpoints", {"id": "ep_2", "url": "https://a.example/", "source": "job", "created_at": 1})
    tables.insert("endpoints", {"id": "ep_3", "url": "https://a.example/", "source": "api", "created_at": 1})
