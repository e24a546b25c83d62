"""HeyGen's settings."""

from typing import Annotated

from settings.readers import read_base_url, read_path, read_seconds, read_token
from settings.setting import Declared, Setting


class HeygenSettings(Declared, frozen=True, kw_only=True):
    """HeyGen's settings."""

    heygen_api_key: Annotated[
        str | None, Setting(read_token, secret=True, help="Your key at HeyGen. Unset: HeyGen jobs are refused.")
    ]
    heygen_api_url: Annotated[
        str,
        Setting(
            read_base_url,
            default="https://api.heygen.com",
            help="HeyGen's API. See [models](models.md#heygen).",
        ),
    ]
    heygen_api_path: Annotated[
        str,
        Setting(
            read_path,
            default="/v1/workflows/executions",
            help="Where its workflow executions are: HeyGen has moved them before.",
        ),
    ]
    heygen_poll_seconds: Annotated[
        float,
        Setting(
            read_seconds,
            default="10",
            help="Between polls of a HeyGen job, ±20 %. A longer `Retry-After` is honoured.",
        ),
    ]
    heygen_timeout_seconds: Annotated[
        float,
        Setting(read_seconds, default="600", help="From submission to `expired`, after a last poll, as with fal."),
    ]
