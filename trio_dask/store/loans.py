"""Values that are read in other processes, of which their maker is told only when all have done."""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable


class Forks:
    """How often this process has been forked: a child reads what its parent has mapped."""

    count = 0

    @classmethod
    def note(cls) -> None:
        """It is about to be."""
        cls.count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=Forks.note)


class Loan:
    """Other processes may read a value, also when nothing here refers to it any more.

    Its memory is theirs then, and not to be written again before the last one has done.
    """

    __slots__ = ("_readers", "_shared", "_then")

    def __init__(self) -> None:
        self._readers = 0
        self._shared = False
        # Taken by whoever comes to it first: the end is reported by any thread.
        self._then: Final[deque[Callable[[bool], object]]] = deque(maxlen=1)

    def lend(self) -> None:
        """One more reads it."""
        self._readers += 1

    def back(self, *, clean: bool) -> None:
        """One less. Unless it is clean, there may be others of whom we will not hear."""
        self._shared = self._shared or not clean
        self._readers -= 1
        self._look()

    def ended(self, then: Callable[[bool], object], *, shared: bool) -> None:
        """Nothing here refers to it any more: `then` is called, with `shared`, when all have done."""
        self._shared = self._shared or shared
        self._then.append(then)
        self._look()

    def _look(self) -> None:
        if self._readers <= 0 and self._then:
            try:
                then = self._then.pop()
            except IndexError:
                return
            then(self._shared)
