"""Descriptors that came beside some data, until somebody takes them: here is who closes them."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.store.segments import Segment, descriptors_in

if TYPE_CHECKING:
    from collections.abc import Iterable


class Arrivals:
    """The descriptors of one socket. Each is the next one's who asks, or is closed here."""

    __slots__ = ("_fds",)

    def __init__(self) -> None:
        self._fds: Final[deque[int]] = deque()

    def come(self, ancillary: Iterable[tuple[int, int, bytes]]) -> None:
        """Keep those that came beside some data."""
        self._fds.extend(descriptors_in(ancillary))

    def adopt(self, nbytes: int) -> Segment:
        """The next one, as a value of so many bytes, whose it is from now on.

        Raises:
            RemoteProtocolError: there is none.
        """
        if not self._fds:
            msg = "a descriptor did not arrive: this process has too many of them"
            raise RemoteProtocolError(msg)
        return Segment(self._fds.popleft(), nbytes)

    def close(self) -> None:
        """Close those that nobody has taken."""
        while self._fds:
            os.close(self._fds.popleft())
