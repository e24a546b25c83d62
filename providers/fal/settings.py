"""fal's settings."""

from typing import Annotated

from settings.readers import count_between, read_base_url, read_seconds, read_text, read_token, read_url
from settings.setting import Declared, Setting


class FalSettings(Declared, frozen=True, kw_only=True):
    """fal's settings."""

    fal_key: Annotated[
        str | None, Setting(read_token, secret=True, help="Your key at fal. Unset: fal jobs are refused.")
    ]
    fal_queue_url: Annotated[
        str,
        Setting(
            read_base_url,
            default="https://queue.fal.run",
            help="fal's queue. URLs in its responses are followed only on the same host, because they are requested "
            "with your key.",
        ),
    ]
    fal_jwks_url: Annotated[
        str,
        Setting(
            read_url,
            default="https://rest.fal.ai/.well-known/jwks.json",
            help="fal's public keys. Older documentation names `https://rest.alpha.fal.ai/.well-known/jwks.json`.",
        ),
    ]
    fal_webhook_user_id: Annotated[
        str | None,
        Setting(
            read_text,
            help="Your fal user id. Set it: a signature proves that fal sent a callback, not that it is for your "
            "account. Unset: a callback counts only for a request that fal returned to us, or that a poll with your "
            "key finds.",
        ),
    ]
    fal_webhook_tolerance_seconds: Annotated[
        int,
        Setting(
            count_between(1, 3600),
            default="300",
            help="How far a callback's timestamp may be from this machine's clock. Whole seconds, 1 to 3600; 300 is "
            "what fal documents.",
        ),
    ]
    fal_poll_seconds: Annotated[
        float, Setting(read_seconds, default="5", help="Between polls of a fal job when `PUBLIC_URL` is unset.")
    ]
    fal_reconcile_seconds: Annotated[
        float,
        Setting(
            read_seconds,
            default="60",
            help="From submission to the first poll of a fal job whose callback is expected. Later polls come after a "
            "quarter of the job's age, at most 240 s (or this, if longer) apart.",
        ),
    ]
    fal_timeout_seconds: Annotated[
        float,
        Setting(
            read_seconds,
            default="86400",
            help="From submission to `expired`, after a last poll; while that is unanswered it is repeated for as long "
            "again. Also how long an `unconfirmed` fal job waits for its callback.",
        ),
    ]
