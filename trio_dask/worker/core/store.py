"""Packed values held by the workers of one process, whatever happens to their runners.

A value is kept as long as one of the workers holds it. All of them may read it: what
one was given, its neighbours need not fetch.
"""

from __future__ import annotations

from dataclasses import dataclass

from trio_dask.messages import Payload, payload_bytes


@dataclass(slots=True, eq=False)
class _Kept:
    payload: Payload
    nbytes: int
    holders: list[str]


class Store:
    """Packed values by task id, each with the names of the workers that hold it."""

    __slots__ = ("_kept", "nbytes")

    def __init__(self) -> None:
        self._kept: dict[int, _Kept] = {}
        self.nbytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def put(self, holder: str, tid: int, payload: Payload) -> int:
        """Keep a value for `holder`; returns its size. A second copy of a value is dropped."""
        kept = self._kept.get(tid)
        if kept is None:
            nbytes = payload_bytes(payload)
            self._kept[tid] = _Kept(payload, nbytes, [holder])
            self.nbytes += nbytes
            return nbytes
        if holder not in kept.holders:
            kept.holders.append(holder)
        return kept.nbytes

    def get(self, tid: int) -> Payload | None:
        """The value, whoever holds it."""
        kept = self._kept.get(tid)
        return None if kept is None else kept.payload

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
        kept.holders.remove(holder)
        if not kept.holders:
            self.nbytes -= kept.nbytes
            del self._kept[tid]

    def leave(self, holder: str) -> None:
        """`holder` ends: so does all it held."""
        for tid in sorted(self.held_by(holder)):
            self.release(holder, tid)
