"""Tasks of one client side by side: a column each for status and value.

A million pending tasks are a few columns, and what the user holds of each is a
small view: the batch and the task's id.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from trio_dask.messages.ids import auto_key

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.client.core.remembering import Kept

PENDING: Final = 0
FINISHED: Final = 1
ERROR: Final = 2
CANCELLED: Final = 3
LOST: Final = 4
RELEASED: Final = 5

#: What users see. Who has released a future can no more be told how its task ends.
STATUS_NAMES: Final = ("pending", "finished", "error", "cancelled", "lost", "cancelled")

#: Small submissions share a batch of this many rows.
SHARED_ROWS: Final = 256


class Watch(Protocol):
    """Somebody who waits for rows of batches to be done."""

    def rows_done(self, batch: Batch, rows: list[int]) -> None:
        """These rows have come to an end, good or bad; at once and synchronously."""

    def broken(self) -> None:
        """The scheduler is gone, or the client was closed: nothing more will be done."""


class Function:
    """A function the scheduler knows, and how many have a use for it."""

    __slots__ = ("blob", "fid", "name", "uses")

    def __init__(self, fid: int, name: str, blob: bytes) -> None:
        self.fid = fid
        self.name = name
        self.blob = blob
        self.uses = 0


class Drops:
    """Tasks whose futures are gone, on their way to be released.

    A task is there by its id, or by ``~id`` if it is to run to its end all the same.

    `append` is called by the garbage collector, at any point of any thread: it must
    neither lock nor call anything of ours. `wake` is called once until `take`.
    """

    __slots__ = ("armed", "tids", "wake")

    def __init__(self) -> None:
        self.tids: deque[int] = deque()
        self.wake: Callable[[], None] = _nothing
        self.armed = False

    def append(self, tid: int) -> None:
        """The future of this task is gone."""
        self.tids.append(tid)
        if not self.armed:
            try:
                self.armed = True
                self.wake()
            except BaseException:  # Ctrl-C: whoever comes next is to wake it
                self.armed = False
                raise

    def take(self) -> tuple[list[int], list[int]]:
        """All of them, in order, and those that are to run to their end."""
        self.armed = False  # first: who comes later wakes again
        popleft = self.tids.popleft
        found = [popleft() for _ in range(len(self.tids))]
        if not found or min(found) >= 0:
            return found, []
        return [tid if tid >= 0 else ~tid for tid in found], [~tid for tid in found if tid < 0]

    def end(self) -> None:
        """Nobody takes any more."""
        self.wake = _nothing
        self.tids = deque(maxlen=0)


def _nothing() -> None:
    pass


class Batch:
    """Tasks with consecutive ids.

    `values` holds, by status: FINISHED the packed value, or the addresses it is at, as
    `str`; ERROR the encoded failure; CANCELLED and LOST the reason. It is `None`
    before anything is known.
    """

    __slots__ = (
        "drops",
        "first",
        "functions",
        "kept",
        "keys",
        "live",
        "names",
        "open",
        "owner",
        "pending",
        "row_watches",
        "status",
        "values",
        "watches",
    )

    def __init__(self, owner: object, drops: Drops, first: int) -> None:
        self.owner = owner
        self.drops = drops
        self.first = first
        self.status = bytearray()
        self.values: list[bytes | str | None] = []
        self.names: list[str] = []  # one for all, or one each
        self.keys: list[str] | None = None  # "": an automatic one
        self.functions: dict[int, Function] = {}
        self.kept: list[Kept] = []  # descriptions of its tasks
        self.pending = 0
        self.live = 0  # rows not released
        self.open = False  # whether rows may still be added
        self.watches: list[Watch] = []
        self.row_watches: dict[int, list[Watch]] = {}

    def __len__(self) -> int:
        return len(self.status)

    def add(self, count: int, name: str, keys: list[str] | None) -> None:
        """Add pending rows. A batch of one name gets all its rows at once."""
        begun = len(self.status)
        if keys is not None and self.keys is None:
            self.keys = [""] * begun
        if self.keys is not None:
            self.keys += [""] * count if keys is None else keys
        self.status += bytes(count)
        self.values += [None] * count
        self.names += [name] * count if self.open else [name]
        self.pending += count
        self.live += count

    def use(self, function: Function) -> None:
        """Some of its tasks run this function."""
        if function.fid not in self.functions:
            self.functions[function.fid] = function
            function.uses += 1

    def key(self, tid: int) -> str:
        """The key people see."""
        row = tid - self.first
        if self.keys is not None and self.keys[row]:
            return self.keys[row]
        return auto_key(self.names[row] if len(self.names) > 1 else self.names[0], tid)

    def tell(self, rows: list[int]) -> None:
        """Tell all who wait for these rows."""
        for watch in tuple(self.watches):
            watch.rows_done(self, rows)
        if self.row_watches:
            pop = self.row_watches.pop
            for row in rows:
                for watch in pop(row, ()):
                    watch.rows_done(self, [row])
