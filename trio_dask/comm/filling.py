"""Where large payloads go while they come: into memory that is theirs, so that nothing is copied later.

Whoever reads a connection may read straight into it. It is memory of which pages are found as they
are written, so nobody has to be believed about how much will come.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Self, TypeAlias

if TYPE_CHECKING:
    from trio_dask.messages import Buffer, Payload

#: Smaller payloads are put together as they come.
ROOM_BYTES_MIN: Final = 1 << 20


class Filling:
    """A payload of which a part has come. It takes more of it as a `bytearray` does, in its place."""

    __slots__ = ("_at", "_view", "payload")

    def __init__(self, view: memoryview, payload: Payload) -> None:
        """`view`: memory for all of it, which `payload` will be."""
        self._at = 0
        self._view = view
        self.payload = payload

    def __len__(self) -> int:
        return self._at

    def __iadd__(self, data: Buffer) -> Self:
        end = self._at + len(data)
        self._view[self._at : end] = data
        self._at = end
        return self

    def vacancy(self, nbytes: int) -> memoryview:
        """Where the next so many bytes belong."""
        return self._view[self._at : self._at + nbytes]

    def came(self, nbytes: int) -> None:
        """So many have been written there."""
        self._at += nbytes


#: Makes room for a payload of so many bytes; None where that cannot be.
MakeRoom: TypeAlias = Callable[[int], Filling | None]
