"""The status of the process as JSON."""

import msgspec


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """`alive`, `ready`, or the reason why the process is not ready."""

    status: str
