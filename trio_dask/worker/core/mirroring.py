"""What the worker keeps for a scheduler to come: records that it does not look into."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.reunion import Mirror, Mirrored

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Message
    from trio_dask.worker.core.state import WorkerState

Row: TypeAlias = tuple[Any, bytes]

#: So many rows, or bytes, are told in one message.
_ROWS_MAX: Final = 2000
_BYTES_MAX: Final = 4 << 20


@dataclass(slots=True, eq=False)
class Kept:
    """The records, and their version; while they are not all of any, those that were before."""

    version: int = 0
    rows: dict[int, Row] = field(default_factory=dict)
    before: tuple[int, dict[int, Row]] = (0, {})


def on_mirror(state: WorkerState, message: Mirror) -> None:
    """The scheduler has records to be kept, or to be let go of."""
    books, heads = state.mirror, message.heads.get("of", [])
    if type(heads) is not list or len(heads) != len(message.ids):
        msg = "records without heads"
        raise RemoteProtocolError(msg)
    if message.anew:
        if books.version:
            books.before = books.version, books.rows
        books.version, books.rows = 0, {}
    books.rows.update(zip(message.ids, zip(heads, message.blobs, strict=True), strict=True))
    for row in message.gone:
        books.rows.pop(row, None)
    if message.version:
        books.version = message.version
    if message.version or not books.rows:
        books.before = 0, {}
    last = state.out.scheduler[-1] if state.out.scheduler else None
    if type(last) is Mirrored:
        last.version = max(last.version, message.version)
    else:
        state.out.scheduler.append(Mirrored(message.version))


def had(state: WorkerState) -> Iterator[Message]:
    """All of them, for a scheduler that does not know us."""
    books = state.mirror
    version, rows = books.version, books.rows
    if not version and books.before[0]:
        version, rows = books.before
    if not version and not rows:
        return
    message, heads, nbytes = _none(anew=True), list[Any](), 0
    for row, (head, blob) in rows.items():
        if len(heads) >= _ROWS_MAX or nbytes >= _BYTES_MAX:
            yield message
            message, heads, nbytes = _none(anew=False), [], 0
        message.ids.append(row)
        heads.append(head)
        message.heads["of"] = heads
        message.blobs.append(blob)
        nbytes += len(blob)
    message.version = version
    yield message


def _none(*, anew: bool) -> Mirror:
    return Mirror(0, anew=anew, ids=[], heads={}, blobs=[], gone=[])
