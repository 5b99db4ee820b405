"""What a client could describe again: its tasks, as long as it holds them or what is made of them.

Descriptions are kept as they were sent, encoded, a message's rows together: a few bytes for
each task more than its arguments. The last few small ones are kept as they are: who submits a
task and waits for it has let go of it before that is worth it. A message is kept while one of its batches has a future,
or a message that is kept has one of its tasks as an input.

Values that were stored, and tasks of others, have no description here. Which of them are inputs
is known, as they are to be named again even when nobody has a future of them any more.

Calls of an actor are never made again. Each has the one before it as an input, for the sake of the
order: so one that is over says that all before it are. What these were made of need not be
described for their sake; else a long row of calls would be kept from its first one on.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from trio_dask.client.core.batch import RELEASED
from trio_dask.messages import decode, encode
from trio_dask.messages.tasks import Submit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from trio_dask.client.core.batch import Batch, Function
    from trio_dask.client.core.table import Table

_first: Final = attrgetter("first")
#: So many messages of so many rows are not encoded yet.
_FRESH_MAX: Final = 16
_FRESH_ROWS_MAX: Final = 16


class Kept:
    """One message with descriptions."""

    __slots__ = (
        "count", "deps", "first", "functions", "inputs", "live", "needed", "outside", "said",
        "under_way",
    )  # fmt: skip

    def __init__(self, message: Submit) -> None:
        self.first = message.first
        self.count = len(message.args)
        self.said: Submit | bytes | None = message  # as it is, or encoded; None: not any more
        self.functions: list[Function] = []
        self.inputs: list[Kept] = []  # that have inputs of its tasks
        self.outside: tuple[int, ...] = ()  # inputs that are not described here
        self.live = 0  # batches that are held
        self.needed = 0  # messages that have its tasks as inputs
        #: Of tasks that are never made again, those that are not known to be over: their inputs.
        self.under_way = _inputs(message) if message.options.get("once") else None
        self.deps = tuple(dict.fromkeys(message.dep_tids)) if self.under_way else ()

    @property
    def blob(self) -> bytes:
        """The message, encoded."""
        said = self.said
        return encode([said])[0] if isinstance(said, Submit) else said or b""

    def pack(self) -> None:
        """Keep it encoded."""
        self.said = self.blob if self.said is not None else None


def _inputs(message: Submit) -> dict[int, list[int]]:
    """Of each task the tasks that are its inputs."""
    counts, deps = message.dep_counts or [0] * len(message.args), iter(message.dep_tids)
    return {message.first + row: list(islice(deps, count)) for row, count in enumerate(counts)}


class Descriptions:
    """All that are kept, in the order of their ids.

    Args:
        unuse: a function has one use less.
        unneeded: no task that is kept has this one, which has no description here, as an input.
    """

    def __init__(
        self, table: Table, unuse: Callable[[Function], None], unneeded: Callable[[int], None]
    ) -> None:
        self._table = table
        self._unuse = unuse
        self._unneeded = unneeded
        self.outside: dict[int, int] = {}  # inputs without descriptions: of how many messages
        self.once = False  # whether there ever was one that is never made again
        self._kept: list[Kept] = []
        self._fresh: deque[Kept] = deque()  # not encoded

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
        kept = Kept(message)
        if kept.count > _FRESH_ROWS_MAX or "deadline" in message.options:  # that will be changed
            kept.pack()
        else:
            self._fresh.append(kept)
        kept.live = len(batches)
        for batch in batches:
            batch.kept.append(kept)
        self.once = self.once or bool(kept.under_way)
        for fid in dict.fromkeys(message.fids):
            function = functions[fid]
            function.uses += 1
            kept.functions.append(function)
        if message.dep_tids:
            self._connect(kept, message.dep_tids)
        self._kept.append(kept)
        if len(self._fresh) > _FRESH_MAX:
            self._age(self._fresh.popleft())

    def _age(self, kept: Kept) -> None:
        """It is not one of the last any more: it is packed if anybody holds a task of it."""
        if kept.needed or self._is_held(kept):
            kept.pack()
        else:
            kept.live = 0
            self._let_go([kept])

    def _is_held(self, kept: Kept) -> bool:
        stop = kept.first + kept.count
        for batch in self._table.spanning(kept.first, stop):
            rows = batch.status[max(0, kept.first - batch.first) : stop - batch.first]
            if rows.count(RELEASED) < len(rows):
                return True
        return False

    def _connect(self, kept: Kept, tids: list[int]) -> None:
        """Its tasks have these as inputs."""
        found: dict[Kept, None] = {}
        outside: dict[int, None] = {}
        first = end = 0
        for tid in tids:
            if first <= tid < end or kept.first <= tid < kept.first + kept.count:
                continue
            if tid in outside:
                continue
            at = bisect_right(self._kept, tid, key=_first) - 1
            each = self._kept[at] if at >= 0 else None
            if each is not None and tid < each.first + each.count:
                first, end = each.first, each.first + each.count
                found[each] = None
            else:
                outside[tid] = None
        kept.inputs, kept.outside = list(found), tuple(outside)
        for each in kept.inputs:
            each.needed += 1
        for tid in outside:
            self.outside[tid] = self.outside.get(tid, 0) + 1

    def on_over(self, tids: Iterable[int]) -> None:
        """These have come to an end, and with them, if they are never made again, their inputs."""
        todo = list(tids)
        while todo:
            tid = todo.pop()
            at = bisect_right(self._kept, tid, key=_first) - 1
            kept = self._kept[at] if at >= 0 else None
            if kept is not None and kept.under_way and tid in kept.under_way:
                todo += kept.under_way.pop(tid)
                if not kept.under_way:
                    self._part_with_inputs(kept)

    def _part_with_inputs(self, kept: Kept) -> None:
        inputs, kept.inputs = kept.inputs, []
        for each in inputs:
            each.needed -= 1
        inside = range(kept.first, kept.first + kept.count)
        known = {*kept.outside, *inside}
        more = [tid for tid in kept.deps if tid not in known]
        kept.outside += tuple(more)
        for tid in more:
            self.outside[tid] = self.outside.get(tid, 0) + 1
        self._let_go(inputs)

    def on_gone(self, batch: Batch) -> None:
        """Nobody holds a future of the batch any more."""
        todo, batch.kept = batch.kept, []
        for each in todo:
            each.live -= 1
        self._let_go(todo)

    def _let_go(self, todo: list[Kept]) -> None:
        """Forget those of these that nobody needs, and what only they needed."""
        while todo:
            kept = todo.pop()
            if kept.live or kept.needed or kept.said is None:
                continue
            kept.said = None
            at = bisect_right(self._kept, kept.first, key=_first) - 1
            del self._kept[at]
            for function in kept.functions:
                self._unuse(function)
            for each in kept.inputs:
                each.needed -= 1
            todo += kept.inputs
            for tid in kept.outside:
                self.outside[tid] -= 1
                if not self.outside[tid]:
                    del self.outside[tid]
                    self._unneeded(tid)
            kept.inputs, kept.outside = [], ()

    def said_again(self) -> Iterator[Submit]:
        """All of them, as messages."""
        for kept in self._kept:
            (message,) = decode(kept.blob, [])
            assert isinstance(message, Submit)
            yield message
