"""The status of the process as JSON."""

import msgspec


class StatusView(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Whether the process is alive or ready, in a word, or why it is not ready. `/healthz` has the version too."""

    status: str
    version: str | None = None
