"""Packed values held by the workers of one process, whatever happens to their runners.

A value is kept as long as one of the workers holds it. All of them may read it: what
one was given, its neighbours need not fetch.
"""

from __future__ import annotations

from dataclasses import dataclass

from trio_dask.messages import Handle, Part, Payload, payload_bytes
from trio_dask.worker.core.inwards import Inwards


@dataclass(slots=True, eq=False)
class _Kept:
    payload: Payload
    nbytes: int
    holders: list[str]
    filed: bool


class Store:
    """Packed values by task id, each with the names of the workers that hold it."""

    __slots__ = ("_files", "_kept", "_plain", "filed_bytes", "inwards", "nbytes")

    def __init__(self, fetch_bytes_max: int = 0) -> None:
        """`fetch_bytes_max`: see `Inwards`."""
        self.inwards = Inwards(fetch_bytes_max)
        self._kept: dict[int, _Kept] = {}
        self.nbytes = 0
        #: So much of it is in files.
        self.filed_bytes = 0
        #: How many of its values are in each file.
        self._files: dict[int, int] = {}
        self._plain: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, holder: str, tid: int, payload: Payload, *, filed: bool = False) -> int:
        """Keep a value for `holder`, maybe one in a file; returns its size.

        A second copy of a value is dropped.
        """
        kept = self._kept.get(tid)
        if kept is None:
            nbytes = payload_bytes(payload)
            self._kept[tid] = kept = _Kept(payload, nbytes, [holder], filed)
            self.nbytes += nbytes
            self.filed_bytes += nbytes * filed
            self._count(kept, 1)
            self._charge(kept, 1)
            return nbytes
        if holder not in kept.holders:
            kept.holders.append(holder)
        return kept.nbytes

    def get(self, tid: int) -> Payload | None:
        """The value, whoever holds it."""
        kept = self._kept.get(tid)
        return None if kept is None else kept.payload

    def replace(self, tid: int, payload: Payload) -> None:
        """The value is in a file from now on, or in another one."""
        kept = self._kept[tid]
        if not kept.filed:
            self._charge(kept, -1)
            self.filed_bytes += kept.nbytes
        self._count(kept, -1)
        kept.payload, kept.filed = payload, True
        self._count(kept, 1)

    def is_filed(self, tid: int) -> bool:
        """Whether the value, which is here, is in a file."""
        return self._kept[tid].filed

    def holds(self, holder: str, tid: int) -> bool:
        """Whether `holder` is one of those who keep the value."""
        kept = self._kept.get(tid)
        return kept is not None and holder in kept.holders

    def held_by(self, holder: str) -> set[int]:
        """All that `holder` keeps."""
        return {tid for tid, kept in self._kept.items() if holder in kept.holders}

    def size(self, tid: int) -> int:
        """The bytes of a value that is here."""
        return self._kept[tid].nbytes

    def release(self, holder: str, tid: int) -> None:
        """`holder` does not need the value any more."""
        kept = self._kept.get(tid)
        if kept is None or holder not in kept.holders:
            return
        self._charge(kept, -1)
        kept.holders.remove(holder)
        if kept.holders:
            self._charge(kept, 1)
        else:
            self.nbytes -= kept.nbytes
            self.filed_bytes -= kept.nbytes * kept.filed
            self._count(kept, -1)
            del self._kept[tid]

    @property
    def files(self) -> int:
        """How many files there are, each of which costs a descriptor."""
        return len(self._files)

    def _count(self, kept: _Kept, sign: int) -> None:
        if kept.filed:
            file = id(kept.payload.whole if isinstance(kept.payload, Part) else kept.payload)
            count = self._files.get(file, 0) + sign
            if count:
                self._files[file] = count
            else:
                del self._files[file]

    def _charge(self, kept: _Kept, sign: int) -> None:
        """What is in this process's own memory counts as the first holder's."""
        if not kept.filed and not isinstance(kept.payload, Handle):
            holder = kept.holders[0]
            self._plain[holder] = self._plain.get(holder, 0) + sign * kept.nbytes

    def plain_bytes(self, holder: str) -> int:
        """What is in this process's own memory for `holder`: each value counts once."""
        return self._plain.get(holder, 0)

    def leave(self, holder: str) -> None:
        """`holder` ends: so does all it held."""
        for tid in sorted(self.held_by(holder)):
            self.release(holder, tid)
        self._plain.pop(holder, None)
