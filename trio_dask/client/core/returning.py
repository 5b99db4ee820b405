"""What a client tells a scheduler that does not know it: all it wants, and what it knows of that."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trio_dask.client.core.batch import CANCELLED, ERROR, FINISHED, LOST, PENDING, RELEASED
from trio_dask.messages import reunion as words
from trio_dask.messages.reunion import Announced, Known
from trio_dask.messages.tasks import Cancel, Functions, Keep, Release, Want

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.client.core.batch import Batch, Function
    from trio_dask.client.core.fetching import Fetcher
    from trio_dask.client.core.remembering import Descriptions
    from trio_dask.client.core.storing import Storer
    from trio_dask.client.core.table import Table
    from trio_dask.client.core.tickets import Holdings
    from trio_dask.messages import Memory, Message

#: So many rows, or bytes, are told in one message.
_ROWS_MAX: Final = 10_000
_BYTES_MAX: Final = 2 << 20

_ENDS: Final = {
    PENDING: words.SOUGHT,
    ERROR: words.FAILED,
    CANCELLED: words.CANCELLED,
    LOST: words.LOST,
}


@dataclass(frozen=True, slots=True)
class Everything:
    """Where all of it is found."""

    memory: Memory
    table: Table
    descriptions: Descriptions
    functions: dict[int, Function]
    fetcher: Fetcher
    keeping: dict[int, None]
    cancelling: dict[int, str]
    others: dict[int, int]
    tickets: Holdings
    storer: Storer


def said_again(of: Everything) -> Iterator[Message]:
    """All of it, in the order in which it is to be said."""
    yield of.memory.said()
    for function in of.functions.values():
        yield Functions([function.fid], [function.name], [function.blob])
    gone: list[int] = []
    described = list(of.descriptions.said_again())
    for message in described:
        yield message
        gone += _not_held(of.table, message.first, len(message.args))
    for batch in of.table.batches:
        yield from _known(batch, of.fetcher)
    outside = [tid for tid in of.descriptions.outside if not of.table.holds(tid)]
    yield from _held(outside, of.fetcher)
    gone += outside
    yield from of.storer.said_again()
    others = list(of.others.items())
    for at in range(0, len(others), _ROWS_MAX):
        yield Want(*map(list, zip(*others[at : at + _ROWS_MAX], strict=True)))
    yield from of.tickets.said_again()
    for at in range(0, len(gone), _ROWS_MAX):
        yield Release(gone[at : at + _ROWS_MAX])
    if of.keeping:
        yield Keep(list(of.keeping))
    for tid, reason in of.cancelling.items():
        yield Cancel([tid], reason)
    yield Announced(0, [])


def _not_held(table: Table, first: int, count: int) -> list[int]:
    """Tasks that are described for the sake of others only."""
    gone: list[int] = []
    batch: Batch | None = None
    for tid in range(first, first + count):
        if batch is None or tid >= batch.first + len(batch):
            batch = table.find(tid)
        if batch is None or batch.status[tid - batch.first] == RELEASED:
            gone.append(tid)
    return gone


def _held(tids: list[int], fetcher: Fetcher) -> Iterator[Known]:
    """Inputs that workers hold, though nobody here does any more."""
    for at in range(0, len(tids), _ROWS_MAX):
        some = tids[at : at + _ROWS_MAX]
        count, sources = len(some), [fetcher.source(tid) for tid in some]
        yield Known(some, [words.HELD] * count, [b""] * count, sources)


def _known(batch: Batch, fetcher: Fetcher) -> Iterator[Known]:
    """How the tasks of a batch have ended, those that have and that are held."""
    known, nbytes = Known([], [], [], []), 0
    for row, status in enumerate(batch.status):
        tid, value = batch.first + row, batch.values[row]
        if status == RELEASED or (status == PENDING and tid not in fetcher.sought):
            continue
        how, said = _ENDS.get(status, words.HELD), b""
        if status == FINISHED and isinstance(value, bytes):
            how, said = words.INLINE, value
        elif isinstance(value, bytes):
            said = value
        elif status != FINISHED and value is not None:
            said = value.encode(errors="surrogatepass")
        known.tids.append(tid)
        known.statuses.append(how)
        known.values.append(said)
        known.sources.append(fetcher.source(tid))
        nbytes += len(said)
        if len(known.tids) >= _ROWS_MAX or nbytes >= _BYTES_MAX:
            yield known
            known, nbytes = Known([], [], [], []), 0
    if known.tids:
        yield known
