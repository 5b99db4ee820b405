"""One number for everything that a core says at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING
from zlib import crc32

from trio_dask.errors import LocalProtocolError
from trio_dask.eventlog.blanks import blanked
from trio_dask.messages import encode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages import Message


def digest(said: Iterable[tuple[str, list[Message]]]) -> int:
    """Equal for equal decisions: to whom, in which order, and all of it but the byte strings.

    0 if nothing was said.
    """
    total = 0
    for whom, messages in said:
        total = crc32(whom.encode(errors="surrogatepass"), total)
        try:
            header, _ = encode(map(blanked, messages))
        except LocalProtocolError as error:  # it cannot be sent either
            header = str(error).encode(errors="surrogatepass")
        total = crc32(header, total)
    return total
