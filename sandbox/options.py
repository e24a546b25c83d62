"""The sandbox's options."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a sandbox. Times are seconds."""

    user_id: str = "sandbox-user"
    """The fal account that owns every job: `X-Fal-Webhook-User-Id` of callbacks."""
    key_seed: bytes | None = None
    """32 bytes that determine the first signing key; None makes a random one."""
    render_seconds: float = 1.0
    """From the submit to the end of a job. It is queued for the first quarter."""
    retry_seconds: float = 0.2
    """The delay before the second attempt of a callback; it doubles for each later attempt."""
    retry_cap_seconds: float = 5.0
    max_retries: int = 31
    """As documented at https://fal.ai/docs/documentation/model-apis/inference/webhooks."""
    first_timeout_seconds: float = 15.0
    later_timeout_seconds: float = 120.0
    faults: str = ""
    """Faults of every job, as `parse_faults` reads them."""
