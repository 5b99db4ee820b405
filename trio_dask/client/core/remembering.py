"""What a client could describe again: its tasks, as long as it holds them or what is made of them.

Descriptions are kept as they were sent, encoded, a message's rows together: a few bytes for
each task more than its arguments. A message is kept while one of its batches has a future,
or a message that is kept has one of its tasks as an input.
"""

from __future__ import annotations

from bisect import bisect_right
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from trio_dask.messages import decode, encode
from trio_dask.messages.tasks import Submit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from trio_dask.client.core.batch import Batch, Function
    from trio_dask.client.core.table import Table

_first: Final = attrgetter("first")


class Kept:
    """One message with descriptions."""

    __slots__ = ("blob", "count", "first", "functions", "inputs", "live", "needed")

    def __init__(self, message: Submit, blob: bytes) -> None:
        self.first = message.first
        self.count = len(message.args)
        self.blob = blob
        self.functions: list[Function] = []
        self.inputs: list[Kept] = []  # that have inputs of its tasks
        self.live = 0  # batches that are held
        self.needed = 0  # messages that have its tasks as inputs


class Descriptions:
    """All that are kept, in the order of their ids.

    Args:
        unuse: a function has one use less.
    """

    def __init__(self, table: Table, unuse: Callable[[Function], None]) -> None:
        self._table = table
        self._unuse = unuse
        self._kept: list[Kept] = []

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def nbytes(self) -> int:
        """The size of the descriptions."""
        return sum(len(each.blob) for each in self._kept)

    def keep(self, message: Submit, functions: dict[int, Function]) -> None:
        """These tasks are described now; functions by id are theirs."""
        batches = self._table.spanning(message.first, message.first + len(message.args))
        if not batches:
            return  # let go of before they were sent
        kept = Kept(message, encode([message])[0])
        kept.live = len(batches)
        for batch in batches:
            batch.kept.append(kept)
        for fid in dict.fromkeys(message.fids):
            function = functions[fid]
            function.uses += 1
            kept.functions.append(function)
        kept.inputs = self._inputs(kept, message.dep_tids)
        for each in kept.inputs:
            each.needed += 1
        self._kept.append(kept)

    def _inputs(self, kept: Kept, tids: list[int]) -> list[Kept]:
        found: dict[Kept, None] = {}
        first = end = 0
        for tid in tids:
            if not first <= tid < end and not kept.first <= tid < kept.first + kept.count:
                at = bisect_right(self._kept, tid, key=_first) - 1
                each = self._kept[at] if at >= 0 else None
                if each is not None and tid < each.first + each.count:
                    first, end = each.first, each.first + each.count
                    found[each] = None
        return list(found)

    def on_gone(self, batch: Batch) -> None:
        """Nobody holds a future of the batch any more."""
        todo, batch.kept = batch.kept, []
        for each in todo:
            each.live -= 1
        while todo:
            kept = todo.pop()
            if kept.live or kept.needed or not kept.blob:
                continue
            kept.blob = b""
            at = bisect_right(self._kept, kept.first, key=_first) - 1
            del self._kept[at]
            for function in kept.functions:
                self._unuse(function)
            for each in kept.inputs:
                each.needed -= 1
            todo += kept.inputs
            kept.inputs = []

    def said_again(self) -> Iterator[Submit]:
        """All of them, as messages."""
        for kept in self._kept:
            (message,) = decode(kept.blob, [])
            assert isinstance(message, Submit)
            yield message
