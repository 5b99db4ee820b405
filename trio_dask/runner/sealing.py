"""Large results go into memory files at once, so that they outlive the runner and are read by others.

Nobody writes there again before the last reader is done. A reader is whoever holds a `Segment`:
where its last one is gone is told, to the worker, which knows all readers.
"""

from __future__ import annotations

from itertools import count
from math import inf
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages import payload_bytes
from trio_dask.messages.large import pack_large
from trio_dask.messages.sealing import Pressure, Rewrite, Slab, Unread
from trio_dask.runner.holdings import Packed
from trio_dask.store import Forks, Pool, Segment, filed_max, write_file

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.messages import Buffer, Payload
    from trio_dask.runner.wire import Outbox

_GIVEN, _OWN = 0, 1
#: How short memory is, as of `Pressure`: nothing is to be kept, and values are to go to files.
_SPARE, _FILES = 1, 2


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
        self._pool = Pool(
            idle_bytes_max=int(settings.get("pool_bytes_max", 0)),
            count_max=int(settings.get("sealed_max", 0)),
        )
        self._directory: Final[str] = settings.get("local_directory", "")
        self._files: Final = count(1)
        self._files_max: Final = filed_max() if least else 0
        #: Results of ours that are on disk and held here: each costs a descriptor.
        self._filed_here: Final[set[int]] = set()
        self._given: Final = count(1)
        self._level = 0

    def seal(self, attempt: int, tid: int, value: Any) -> Packed | None:
        """The result of an attempt, sealed; None if it is none of those. Its row comes after this."""
        pieces = pack_large(value, self._least)
        if pieces is None:
            return None
        written = self._written(pieces, payload_bytes(pieces))
        if written is None:
            return None
        number, segment = written
        if number < 0:
            self._filed_here.add(number)
        segment.on_gone(self._gone(number, _OWN))
        self._outbox.sealed.append((attempt, tid, number, segment))
        return Packed(segment)

    def export(self, tid: int, payload: Payload) -> bool:
        """Seal a value that others need; whether that was done."""
        nbytes = payload_bytes(payload)
        if nbytes < self.bytes_min:
            return False
        pieces = payload if isinstance(payload, list) else [payload]
        written = self._written(pieces, nbytes)
        if written is None:
            return False
        number, segment = written
        self._outbox.sealed.append((0, tid, number, segment))
        return True

    def _written(self, pieces: list[Buffer], nbytes: int) -> tuple[int, Segment] | None:
        """A value in memory of its own or, where that is short, on disk."""
        files = self._level == _FILES and len(self._filed_here) < self._files_max
        if files and (filed := self._filed(pieces)) is not None:
            return filed
        return self._pool.write(pieces, nbytes)

    def _filed(self, payload: Payload) -> tuple[int, Segment] | None:
        try:
            segment = write_file(self._directory, payload)
        except OSError:
            return None
        return -next(self._files), segment

    def unload(self, tid: int, payload: Payload) -> bool:
        """Put a value on disk, for want of memory; whether that was done."""
        filed = self._filed(payload)
        if filed is None:
            return False
        self._outbox.sealed.append((0, tid, *filed))
        return True

    def unload_small(self, values: dict[int, bytes]) -> bool:
        """Put values into one file together; whether that was done. Not all at once are too many."""
        filed = self._filed([b"".join(values.values())])
        if filed is None:
            return False
        sizes = [len(each) for each in values.values()]
        self._outbox.put(Slab([*values], sizes, [filed[1]]))
        return True

    @property
    def pressed(self) -> bool:
        """Whether memory is short."""
        return self._level >= _SPARE

    def press(self, message: Pressure) -> None:
        """So short is memory now."""
        self._level = message.level
        if self.pressed:
            self._pool.shrink()

    def given(self, segment: Segment) -> Packed:
        """A value of somebody else's, to be held here. The worker counts them, too."""
        segment.on_gone(self._gone(next(self._given), _GIVEN))
        return Packed(segment)

    def _gone(self, which: int, own: int) -> Callable[[bool], object]:
        outbox, forks, filed = self._outbox, Forks.count, self._filed_here

        def gone(_shared: bool) -> None:  # noqa: FBT001 - called by `Segment`
            if own:
                filed.discard(which)
            outbox.post(Unread([which], [own], [int(forks == Forks.count)]))

        return gone

    def rewrite(self, message: Rewrite) -> None:
        """Nobody needs these any more."""
        for number, clean in zip(message.numbers, message.clean, strict=True):
            self._pool.back(number, clean=bool(clean) and not self.pressed)

    def close(self) -> None:
        """Give the files up; what others have mapped is theirs."""
        self._pool.close()
