"""Many viewers at once: what is new is made once for all that want the same, and handed to each.

A viewer here costs one write a turn, and no task, timer or layer of HTTP of its own. Nothing waits
for anybody: who does not take all of it is behind, is handed the rest elsewhere, and comes back
when it has caught up. Pure: `now` comes in, and writing is a function of the viewer's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trio_dask.dashboard.feed import TURN_S

if TYPE_CHECKING:
    from collections.abc import Callable

#: Something is said at least so often: a reader that hears nothing knows that it is cut off.
BEAT_S: Final = 5.0


@dataclass(eq=False, slots=True)
class Viewer:
    """One who looks, and what it has."""

    #: Takes as much as goes at once, and says how much that was; OSError if nobody is there.
    write: Callable[[bytes], int]
    every_s: float
    seq: int
    said_at: float
    #: Called when it did not take all; what is left is in `rest` then.
    behind: Callable[[], None] = lambda: None
    due: float = 0.0
    rest: bytes = b""


class Crowd:
    """All of them that keep up."""

    def __init__(self) -> None:
        self._viewers: Final[dict[Viewer, None]] = {}

    def __len__(self) -> int:
        return len(self._viewers)

    def join(self, viewer: Viewer, now: float) -> None:
        """From the next turn that it wants."""
        viewer.rest = b""
        viewer.due = _next(viewer.every_s, now)
        self._viewers[viewer] = None

    def leave(self, viewer: Viewer) -> None:
        """It is told nothing any more."""
        self._viewers.pop(viewer, None)

    def tell(self, now: float, seq: int, since: Callable[[int], bytes], beat: bytes) -> None:
        """A turn: whoever is due gets what is `since` the last that it has, up to `seq`.

        Those who want it equally often are due together, so that they want the same.
        """
        for viewer in list(self._viewers):
            if viewer.due > now:
                continue
            viewer.due = _next(viewer.every_s, now)
            text = since(viewer.seq)
            if not text:
                if now - viewer.said_at < BEAT_S:
                    continue
                text = beat
            viewer.seq, viewer.said_at = seq, now
            try:
                taken = viewer.write(text)
            except OSError:
                taken = 0  # whoever sends it the rest will see
            if taken < len(text):
                viewer.rest = text[taken:]
                self.leave(viewer)
                viewer.behind()


def _next(every_s: float, now: float) -> float:
    """The next of the moments that all viewers who want it equally often share."""
    return (now // every_s + 1) * every_s if every_s > TURN_S else now
