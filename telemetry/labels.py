"""The values that labels of metrics have. Any other value is counted as `other`; the line in the log has it.

Each combination of values is a time series that Prometheus keeps, so what unauthenticated clients and providers send
must not become a label. Tests compare these lists with the code that the words come from.
"""

from collections.abc import Mapping
from http import HTTPStatus

OTHER = "other"

REFUSED_CALLBACKS = (
    *("header_missing", "header_doubled", "header_malformed", "signature_malformed", "timestamp_malformed"),
    *("other_account", "timestamp_too_old", "timestamp_ahead", "no_key_matches", "request_id_differs"),
    *("request_of_another_job", "body_too_long", "body_cut_short"),
)
"""Why callbacks are refused that an operator may have to do something about."""

_WITHOUT_TOKEN = ("token_missing", "token_foreign", "wrong_method", "content_length_malformed")
_UNREAD_CALLBACKS = ("too_long", "unreadable", "provider_raised", "unrecordable")
_REFUSED_REQUESTS = ("key_missing", "key_unknown", "other_scheme", "not_direct")
_UNAVAILABLE = ("keys_unavailable", "database_unavailable")
_CODES = (
    *("never_sent", "answer_unread", "answer_unreadable", "unanswered", "unconfirmed", "claim_ended", "restored"),
    *("timed_out", "unread", "unreadable", "unrecordable", "result_too_long", "not_found", "no_account", "redirected"),
    *("api_gone", "provider_raised", "unexplained"),
    *(f"http_{status.value}" for status in HTTPStatus if status.value >= 400),
)
_STEPS = (
    *("submission", "read_submission", "poll", "read_poll", "warning"),
    *("poll_interval", "give_up_after", "calls_back"),
)

LABELS: Mapping[str, frozenset[str] | None] = {
    "provider": None,
    "state": frozenset({"completed", "failed", "canceled", "expired", "unknown", "delivered", "dead", "discarded"}),
    "result": frozenset({"recorded", "duplicate", "conflict", "orphan", "pending"}),
    "source": frozenset({"callback", "poll", "submission"}),
    "fault": frozenset({"input", "account", "provider", "network", "renderhook"}),
    "reason": frozenset({*REFUSED_CALLBACKS, *_WITHOUT_TOKEN, *_UNREAD_CALLBACKS, *_REFUSED_REQUESTS, *_UNAVAILABLE}),
    "code": frozenset(_CODES),
    "outcome": frozenset({"1xx", "2xx", "3xx", "4xx", "5xx", "unanswered"}),
    "kind": frozenset({"submit", "poll", "deliver"}),
    "step": frozenset(_STEPS),
}
"""The names of labels, each with its values. `provider` has the installed ones: nothing else is accepted."""


def closed(label: str, value: object) -> str:
    """Return the value that a label gets."""
    text, known = str(value), LABELS[label]
    return text if known is None or not text or text in known else OTHER
