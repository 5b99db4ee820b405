"""Futures in containers, and the same containers with values in their place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.futures import BaseFuture

if TYPE_CHECKING:
    from collections.abc import Iterator

#: In place of a value: to be left out of the container.
SKIPPED: Final = object()


def futures_in(shape: Any, out: list[Any]) -> None:
    """Find the futures in nested lists, tuples, sets and dicts, in order."""
    kind = type(shape)
    if issubclass(kind, BaseFuture):
        out.append(shape)
    elif kind is dict:
        for value in shape.values():
            futures_in(value, out)
    elif kind in (list, tuple, set, frozenset) or _is_namedtuple(kind):
        for value in shape:
            futures_in(value, out)


def refill(shape: Any, values: Iterator[Any]) -> Any:
    """The same shape with the next of `values` for each future.

    A `SKIPPED` one is left out; a named tuple becomes a plain one by that.
    """
    kind = type(shape)
    if issubclass(kind, BaseFuture):
        return next(values)
    if kind is dict:
        pairs = [(key, refill(value, values)) for key, value in shape.items()]
        return {key: value for key, value in pairs if value is not SKIPPED}
    if kind in (list, tuple, set, frozenset) or _is_namedtuple(kind):
        items = [refill(value, values) for value in shape]
        kept = [value for value in items if value is not SKIPPED]
        if hasattr(kind, "_make"):
            return kind._make(kept) if len(kept) == len(items) else tuple(kept)
        return kind(kept)
    return shape


def _is_namedtuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_make")
