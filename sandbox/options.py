"""How a sandbox is set up, read once."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Options:
    """Everything a sandbox can be told at its start. Times are seconds."""

    user_id: str = "sandbox-user"
    """The fal account that owns every job, as `X-Fal-Webhook-User-Id` names it."""
    key_seed: bytes | None = None
    """32 bytes that fix the first signing key; None makes a random one."""
    render_seconds: float = 1.0
    """From an accepted submit to its end. The first quarter is spent in the queue."""
    retry_seconds: float = 0.2
    """The wait before the second attempt of a callback; each later wait is twice the one before."""
    retry_cap_seconds: float = 5.0
    max_retries: int = 31
    """https://fal.ai/docs/documentation/model-apis/inference/webhooks names this count."""
    first_timeout_seconds: float = 15.0
    later_timeout_seconds: float = 120.0
    faults: str = ""
    """Faults of every job, in the words of `sandbox.faults`."""
