"""The client that is meant where none is named: of the block, or the last one opened."""

from __future__ import annotations

import sys
import weakref
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.client.base import BaseClient

C = TypeVar("C", bound="BaseClient")

#: Of the block that the present code is in.
_block: Final[ContextVar[BaseClient | None]] = ContextVar("trio_dask_client", default=None)
#: All that were opened and not closed, in that order.
_opened: Final[list[weakref.ref[BaseClient]]] = []


def opened(client: BaseClient) -> None:
    """The client is there."""
    _opened.append(weakref.ref(client, _discard))


def closed(client: BaseClient) -> None:
    """The client is closed."""
    for ref in tuple(_opened):
        if ref() is client:
            _discard(ref)


def _discard(ref: weakref.ref[BaseClient]) -> None:
    if ref in _opened:
        _opened.remove(ref)


def enter(client: BaseClient) -> BaseClient | None:
    """The client's block begins; returns what `leave` is to be given."""
    before = _block.get()
    _block.set(client)
    return before


def leave(before: BaseClient | None) -> None:
    """The block has ended."""
    _block.set(before)


def candidates() -> Iterator[BaseClient]:
    """Those that may be meant, the first one first; some may not be open."""
    inside = sys.modules.get("trio_dask.client.inside")
    own: BaseClient | None = inside.of_task() if inside is not None else None
    for client in (own, _block.get(), *[ref() for ref in reversed(_opened)]):
        if client is not None:
            yield client


def find(kind: type[C]) -> C:
    """The one that is meant.

    Raises:
        ValueError: there is none.
    """
    for client in candidates():
        if isinstance(client, kind) and client.live.state == "open":
            return client
    msg = f"there is no open {'client' if kind.__name__ == 'BaseClient' else kind.__name__}"
    raise ValueError(msg)
