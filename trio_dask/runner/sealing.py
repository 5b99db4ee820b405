"""Large results go into memory files at once, so that they outlive the runner and are read by others.

Nobody writes there again before the last reader is done. A reader is whoever holds a `Segment`:
where its last one is gone is told, to the worker, which knows all readers.
"""

from __future__ import annotations

import os
from math import inf
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages import payload_bytes
from trio_dask.messages.large import pack_large
from trio_dask.messages.sealing import Rewrite, Unread
from trio_dask.runner.holdings import Packed
from trio_dask.store import Pool, Segment, many_descriptors

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Payload
    from trio_dask.runner.wire import Outbox

_GIVEN, _OWN = 0, 1


class _Forks:
    """How often this process has been forked: a child reads what its parent has mapped."""

    count = 0

    @classmethod
    def note(cls) -> None:
        """It is about to be."""
        cls.count += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_Forks.note)


class Sealer:
    """Puts values into memory files, for one runner.

    Args:
        settings: of `Prepare`; without ``sealed_bytes_min`` nothing is ever sealed.
        outbox: what is to be said goes there.
    """

    def __init__(self, settings: dict[str, Any], outbox: Outbox) -> None:
        least = int(settings.get("sealed_bytes_min", 0))
        #: Values below this stay as they are.
        self.bytes_min: Final = least or inf
        self._least = least
        self._outbox = outbox
        if least:
            many_descriptors()
        self._pool = Pool(
            idle_bytes_max=int(settings.get("pool_bytes_max", 0)),
            count_max=int(settings.get("sealed_max", 0)),
        )

    def seal(self, attempt: int, tid: int, value: Any) -> Packed | None:
        """The result of an attempt, sealed; None if it is none of those. Its row comes after this."""
        pieces = pack_large(value, self._least)
        if pieces is None:
            return None
        nbytes = payload_bytes(pieces)
        written = self._pool.write(pieces, nbytes)
        if written is None:
            return None
        number, segment = written
        segment.on_gone(self._gone(number, _OWN))
        self._outbox.sealed.append((attempt, tid, number, segment))
        return Packed(segment)

    def export(self, tid: int, payload: Payload) -> bool:
        """Seal a value that others need; whether that was done."""
        nbytes = payload_bytes(payload)
        if nbytes < self.bytes_min:
            return False
        pieces = payload if isinstance(payload, list) else [payload]
        written = self._pool.write(pieces, nbytes)
        if written is None:
            return False
        number, segment = written
        self._outbox.sealed.append((0, tid, number, segment))
        return True

    def given(self, tid: int, segment: Segment) -> Packed:
        """A value of somebody else's, to be held here."""
        segment.on_gone(self._gone(tid, _GIVEN))
        return Packed(segment)

    def _gone(self, which: int, own: int) -> Callable[[bool], object]:
        outbox, forks = self._outbox, _Forks.count

        def gone(_shared: bool) -> None:  # noqa: FBT001 - called by `Segment`
            outbox.post(Unread([which], [own], [int(forks == _Forks.count)]))

        return gone

    def rewrite(self, message: Rewrite) -> None:
        """Nobody needs these any more."""
        for number, clean in zip(message.numbers, message.clean, strict=True):
            self._pool.back(number, clean=bool(clean))

    def close(self) -> None:
        """Give the files up; what others have mapped is theirs."""
        self._pool.close()
