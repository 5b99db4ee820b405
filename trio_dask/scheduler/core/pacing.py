"""How much is done in one turn, and what is left to the next ones.

A turn is what happens between two looks at the sockets. One message may concern a million
tasks, directly (then it is a `Job`) or because they all hang together; and a thousand workers
may have room for hundreds each. What goes beyond the turn is noted here, in a state in which
everything else may happen in between, and done bit by bit by `SchedulerCore.work`.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TypeAlias

    from trio_dask.scheduler.core.state import Task

    #: Tasks that come to the same bad end: how, and the encoded reason.
    Wave: TypeAlias = "tuple[Iterator[Task], int, bytes]"


class Pace:
    """What may still be done in this turn, in tasks, and what was put off."""

    __slots__ = ("deals", "ending", "left", "most", "ripe", "undealt", "unsettled")

    def __init__(self, most: int) -> None:
        self.most = most
        self.left = most  # tasks that may still be settled, ended or made ready
        self.deals = most  # tasks that may still be given to workers
        self.undealt = False  # more might have been
        self.ripe: deque[Task] = deque()  # they wait for nothing any more
        self.ending: list[Wave] = []  # what they need came to a bad end
        self.unsettled: list[Task] = []  # nobody may need them

    @property
    def behind(self) -> bool:
        """Whether something was put off."""
        return bool(self.undealt or self.ripe or self.ending or self.unsettled)

    def renew(self) -> None:
        """A new turn begins."""
        self.left = self.deals = self.most
