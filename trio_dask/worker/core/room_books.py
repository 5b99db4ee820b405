"""What is known of a worker's memory: which values are where, and how short it is."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from trio_dask.messages.sealing import FILE_BYTES_MIN

#: What a runner is told: nothing; to keep no memory for later; and to write values to files.
NONE, SPARE, FILES = 0, 1, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRules:
    """Shares of a limit in bytes, each 0 for "never"; without a limit nothing is ever short."""

    limit: int = 0
    target: float = 0.6
    spill: float = 0.7
    pause: float = 0.8
    terminate: float = 0.95
    max_spill: int = 0
    #: Smaller values have no files of their own: they go when so much of them can go together.
    file_bytes_min: int = FILE_BYTES_MIN
    slab_bytes_min: int = 1 << 20
    #: So many are on their way to files at a time, as each of those costs a descriptor.
    leaving_max: int = 256
    #: When so many more than this have files of their own, no more get one, until some share one.
    files_max: int = 1 << 20

    @property
    def target_bytes(self) -> float:
        """So much may be in values."""
        return self.target * self.limit

    @property
    def goal_bytes(self) -> float:
        """Once there has been too much, values go to files until it is this."""
        return (self.target or self.spill) * self.limit

    @property
    def heed_bytes(self) -> float:
        """Below this nothing is short."""
        shares = [each for each in (self.spill, self.pause, self.terminate) if each]
        return min(shares, default=math.inf) * self.limit if self.limit else math.inf


@dataclass(slots=True, eq=False)
class Room:
    """What is known of a worker's memory. All values are by task, with their bytes."""

    rules: MemoryRules = MemoryRules()
    here: dict[int, int] = field(default_factory=dict)  # in memory, by when they were used last
    here_bytes: int = 0
    small: dict[int, int] = field(default_factory=dict)  # the same, too small for their own files
    small_bytes: int = 0
    copies: dict[int, int] = field(default_factory=dict)  # in a file with others, and in the runner
    copies_bytes: int = 0
    fixed: dict[int, int] = field(default_factory=dict)  # in memory, and cannot be pickled
    fixed_bytes: int = 0
    leaving: dict[int, int] = field(default_factory=dict)  # in memory, on their way to files
    leaving_bytes: int = 0
    filed: dict[int, int] = field(default_factory=dict)  # in files
    filed_bytes: int = 0
    alone: set[int] = field(default_factory=set)  # of those, the large ones in files of their own
    born_filed: set[int] = field(default_factory=set)  # attempts whose value went there at once
    used: int = 0  # by the processes, when that was looked at
    excess: float = 0.0  # so much of that is still to go
    spilling: bool = False
    paused: bool = False
    vain_since: float | None = None  # since when waiting has changed nothing
    one_by_one: bool = False  # paused, but one task after the other goes on
    used_up: bool = False  # at some time, no more files were allowed
    full: str = ""  # why nothing can be written
    full_until: float = 0.0

    @property
    def remembers(self) -> bool:
        """Whether there is any value of which something is known."""
        return bool(self.here or self.small or self.filed or self.leaving or self.fixed)

    @property
    def managed(self) -> int:
        """Bytes of values that are in memory."""
        less = self.small_bytes + self.copies_bytes
        return self.here_bytes + self.fixed_bytes + self.leaving_bytes + less

    def forget(self, tid: int) -> None:
        """The value is nobody's concern any more."""
        self.here_bytes -= self.here.pop(tid, 0)
        self.small_bytes -= self.small.pop(tid, 0)
        self.copies_bytes -= self.copies.pop(tid, 0)
        self.fixed_bytes -= self.fixed.pop(tid, 0)
        self.leaving_bytes -= self.leaving.pop(tid, 0)
        self.filed_bytes -= self.filed.pop(tid, 0)
        self.alone.discard(tid)

    def comes(self, tid: int, nbytes: int) -> None:
        """The value is in memory."""
        if not self.rules.limit or tid in self.here or tid in self.small or tid in self.fixed:
            return
        if tid in self.leaving or tid in self.filed:
            return
        if nbytes < self.rules.file_bytes_min:
            self.small[tid] = nbytes
            self.small_bytes += nbytes
        else:
            self.here[tid] = nbytes
            self.here_bytes += nbytes

    def is_used(self, tid: int) -> None:
        """A task is about to use the value."""
        for book in (self.here, self.small, self.copies):
            if tid in book:
                book[tid] = book.pop(tid)

    def is_copied(self, tid: int, nbytes: int) -> None:
        """The value, which is in a file, goes to the runner, which maps only those of their own."""
        if self.rules.limit and tid in self.filed and tid not in self.alone:
            self.copies_bytes += nbytes - self.copies.get(tid, 0)
            self.copies[tid] = nbytes

    def lies(self, tid: int, nbytes: int, *, shared: bool = False) -> None:
        """The value is in a file; `shared`: with others, although it is large."""
        self.forget(tid)
        if nbytes >= self.rules.file_bytes_min and not shared:
            self.alone.add(tid)
        self.filed[tid] = nbytes
        self.filed_bytes += nbytes
