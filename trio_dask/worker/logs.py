"""What a worker has logged, and what its tasks have printed: the last lines, for who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.eventlog import newest
from trio_dask.messages.inquiring import packed

if TYPE_CHECKING:
    from collections.abc import Sequence

#: What is around the lines.
_FRAME_BYTES: Final = 32
#: A share of the room for what tasks have printed.
_OUTPUT_SHARE: Final = 4


def answer(params: dict[str, Any], lines: Sequence[dict[str, Any]], output: Sequence[str]) -> bytes:
    """The newest lines of the log, as many as are asked for and there is room for; and the output."""
    room = params.get("bytes_max")
    left = (room if type(room) is int else 0) - _FRAME_BYTES
    printed: list[str] = []
    share = left // _OUTPUT_SHARE
    for line in reversed(output):
        share -= len(packed(line))
        if share < 0:
            break
        left -= len(packed(line))
        printed.insert(0, line)
    return packed({"lines": newest(lines, params.get("n"), left), "output": printed})
