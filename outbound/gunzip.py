"""Decompresses gzip as it comes, in bounded steps: a few bytes can stand for gigabytes."""

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any

STEP = 262_144
"""Bytes that are decompressed at once."""

MOST_MEMBERS = 100
"""gzip files one after the other in one response. Each costs time, and may hold nothing."""

_MAGIC = 0x1F


async def gunzip(parts: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Yield what `parts` hold, decompressed. What follows the gzip files is not read. Raises `zlib.error`."""
    member, members, anything = _new_member(), 1, False
    async for received in parts:
        part, full, anything = received, False, True
        while part or full:
            if member.eof:
                if not part:
                    break
                if part[0] != _MAGIC or members == MOST_MEMBERS:
                    return
                member, members = _new_member(), members + 1
            found = member.decompress(part, STEP)
            part, full = member.unused_data if member.eof else member.unconsumed_tail, len(found) == STEP
            if found:
                yield found
            if full:
                await asyncio.sleep(0)
    if anything and not member.eof:
        raise zlib.error("the compressed response is truncated")


def _new_member() -> Any:
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
