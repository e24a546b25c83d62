"""The values that labels of metrics have. Any other value is counted as `other`.

Each combination of values is a time series that Prometheus keeps, so that what strangers and providers say must not
become a label. Tests hold these lists against the code that the words come from.
"""

from collections.abc import Mapping
from http import HTTPStatus

OTHER = "other"

_REFUSED_CALLBACKS = (
    *("token_missing", "token_foreign", "wrong_method", "request_of_another_job"),
    *("content_length_malformed", "body_too_long", "body_cut_short"),
    *("header_missing", "header_doubled", "header_malformed", "signature_malformed", "timestamp_malformed"),
    *("other_account", "timestamp_too_old", "timestamp_ahead", "no_key_matches"),
    *("body_not_json", "body_malformed", "request_id_differs"),
)
_REFUSED_REQUESTS = ("key_missing", "key_unknown", "other_scheme", "not_direct")
_OUR_CODES = (
    *("never_sent", "answer_unread", "answer_unreadable", "claim_ended", "unconfirmed", "timed_out", "unread"),
    *("no_account", "redirected", "provider_raised"),
)
_STEPS = (
    *("submission", "read_submission", "poll", "read_poll", "warning"),
    *("poll_interval", "give_up_after", "calls_back", "keys"),
)

LABELS: Mapping[str, frozenset[str] | None] = {
    "provider": None,
    "state": frozenset({"completed", "failed", "canceled", "expired", "unknown", "delivered", "dead", "discarded"}),
    "result": frozenset({"recorded", "duplicate", "conflict", "orphan", "pending"}),
    "source": frozenset({"callback", "poll", "submission"}),
    "fault": frozenset({"input", "account", "provider", "network", "renderhook"}),
    "reason": frozenset({*_REFUSED_CALLBACKS, *_REFUSED_REQUESTS, "keys_unavailable", "database_unavailable"}),
    "code": frozenset({*_OUR_CODES, *(f"http_{status.value}" for status in HTTPStatus if status.value >= 400)}),
    "outcome": frozenset({"1xx", "2xx", "3xx", "4xx", "5xx", "unanswered"}),
    "kind": frozenset({"submit", "poll", "deliver"}),
    "step": frozenset(_STEPS),
}
"""The names of labels, each with its values. `provider` has those of the registry: the database takes no others."""


def closed(label: str, value: object) -> str:
    """Return the value that a label gets."""
    if value is None:
        return ""
    text, known = str(value), LABELS[label]
    return text if known is None or text in known else OTHER
