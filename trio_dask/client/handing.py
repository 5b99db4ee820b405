"""How a client's large values reach the workers of its own host: in memory that both have.

They are copied once, into a memory file; what travels is its descriptor. The memory is kept for the
next ones for a while, because memory that is found anew costs more than the copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages import payload_bytes
from trio_dask.store import Pool, Readers

if TYPE_CHECKING:
    from trio_dask.messages import Payload

#: A smaller value is sent as soon as it could be copied.
HANDED_BYTES_MIN: Final = 1 << 20
#: So much memory is kept for values to come.
_POOL_BYTES_MAX: Final = 512 << 20


class Hand:
    """Puts values into memory files. One thread at a time writes; any may end a value."""

    def __init__(self, count_max: int) -> None:
        """`count_max`: so many values at a time, as each costs descriptors."""
        self._pool: Final = Pool(idle_bytes_max=_POOL_BYTES_MAX, count_max=count_max)
        self._readers: Final = Readers(self._pool)
        #: How often something was written.
        self.uses = 0

    def written(self, payloads: list[Payload]) -> list[Payload]:
        """The same values, with the large ones in memory files, as far as there may be more of those."""
        self.uses += 1
        self.tidy()
        return [self._written(each) for each in payloads]

    def _written(self, payload: Payload) -> Payload:
        nbytes = payload_bytes(payload)
        if nbytes < HANDED_BYTES_MIN:
            return payload
        written = self._pool.write(payload if isinstance(payload, list) else [payload], nbytes)
        if written is None:
            return payload
        number, segment = written
        self._readers.watch(number, segment)
        return segment

    def tidy(self) -> None:
        """Have memory that nobody reads any more written again, or let go."""
        self._readers.tidy()

    def rest(self) -> None:
        """Keep no memory for values to come."""
        self.tidy()
        self._pool.shrink()

    def close(self) -> None:
        """Give everything up. What others have mapped is theirs."""
        self._pool.close()
