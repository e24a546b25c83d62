"""How the process' own status reads."""

import msgspec


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process is alive or ready, in a word, or why it is not ready."""

    status: str
