"""Where the time of a worker's tasks went, over the last minutes: what its runners have told."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.inquiring import SAID_BYTES_MAX, packed, unpacked
from trio_dask.messages.profiles import Profile

if TYPE_CHECKING:
    from trio_dask.messages.inquiring import Profiled

#: Time is told apart in pieces of so many seconds, and so many pieces are kept; what was
#: before them is kept in one.
PIECE_S: Final = 10.0
PIECES: Final = 60
#: Of each piece so many nodes are kept, those seen most.
_NODES_MAX: Final = 1_500
#: An answer begins with so many nodes at most.
_ANSWER_NODES_MAX: Final = 5_000
_NAMES_MAX: Final = 30
#: So many bytes a node takes in an answer, at least.
_NODE_BYTES: Final = 6


class Profiles:
    """Grows piece by piece, and never beyond a few megabytes.

    Args:
        interval_s: how often runners look.
    """

    def __init__(self, interval_s: float) -> None:
        self._interval_s: Final = interval_s
        self._pieces: deque[tuple[float, Profile]] = deque()  # each with the time it begins at
        self._before: tuple[float, Profile] | None = None

    def take(self, message: Profiled, now: float) -> None:
        """A runner tells where time went since the last time.

        Raises:
            RemoteProtocolError: that is no profile.
        """
        if sum(map(len, message.stacks)) > SAID_BYTES_MAX:
            msg = f"a profile of more than {SAID_BYTES_MAX} bytes"
            raise RemoteProtocolError(msg)
        for blob in message.stacks:
            piece = self._piece(now)
            piece.merge(unpacked(blob))
            piece.cut(_NODES_MAX)

    def _piece(self, now: float) -> Profile:
        """The piece that is growing."""
        begins = now - now % PIECE_S
        if not self._pieces or self._pieces[-1][0] < begins:
            self._pieces.append((begins, Profile()))
        while len(self._pieces) > 1 and self._pieces[0][0] <= now - PIECES * PIECE_S:
            at, old = self._pieces.popleft()
            since, before = self._before or (at, Profile())
            before.merge(old.columns(_NODES_MAX))
            before.cut(_NODES_MAX)
            self._before = since, before
        return self._pieces[-1][1]

    def answer(self, params: dict[str, Any], now: float) -> bytes:
        """What was seen in a window of time, of one function or all, and when how much was."""
        since_s, until_s = params.get("since_s"), params.get("until_s")
        name, room = params.get("name"), params.get("bytes_max")
        name = name if type(name) is str else ""
        room = room if type(room) is int else 0
        first = now - since_s if isinstance(since_s, int | float) else float("-inf")
        last = now - until_s if isinstance(until_s, int | float) else now
        merged, times = Profile(), list[list[Any]]()
        for begins, length, piece in self._all():
            counts = sorted(piece.names().items(), key=lambda each: -each[1])[:_NAMES_MAX]
            times.append([now - begins, length, dict(counts)])
            if begins + length > first and begins <= last:
                merged.merge(piece.columns(_NODES_MAX), name)
        limit = min(_ANSWER_NODES_MAX, max(0, room) // _NODE_BYTES)
        while True:
            said = packed({
                "interval_s": self._interval_s, "profile": merged.columns(limit), "times": times,
            })  # fmt: skip
            if len(said) <= room or not (limit or times):
                return said
            limit, times = (limit // 2, times) if limit else (0, times[len(times) // 2 + 1 :])

    def _all(self) -> list[tuple[float, float, Profile]]:
        """All pieces: when each begins, how long it is, and what was seen."""
        found = [(begins, PIECE_S, piece) for begins, piece in self._pieces]
        if self._before is not None and self._pieces:
            since, before = self._before
            found.insert(0, (since, self._pieces[0][0] - since, before))
        return found
