"""Futures in containers, and the same containers with values in their place."""

from __future__ import annotations

import copy
import operator
from typing import TYPE_CHECKING, Any, Final

from trio_dask.client.futures import BaseFuture

if TYPE_CHECKING:
    from collections.abc import Iterator

#: In place of a value: to be left out of the container.
SKIPPED: Final = object()
_SEQUENCES: Final = (list, tuple, set, frozenset)


def futures_in(shape: Any, out: list[Any]) -> None:
    """Find the futures in nested lists, tuples, sets and dicts, and in subclasses, in order."""
    kind = type(shape)
    if issubclass(kind, BaseFuture):
        out.append(shape)
    elif issubclass(kind, dict):
        for value in shape.values():
            futures_in(value, out)
    elif issubclass(kind, _SEQUENCES):
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
    if issubclass(kind, dict):
        return _refilled_mapping(shape, values)
    if issubclass(kind, _SEQUENCES):
        return _refilled_sequence(shape, values)
    return shape


def _refilled_mapping(shape: Any, values: Iterator[Any]) -> Any:
    """Of a type of its own, as `collections.OrderedDict`: a copy, as nobody else can make one."""
    made = copy.copy(shape)
    for key, value in shape.items():
        filled = refill(value, values)
        if filled is SKIPPED:
            del made[key]
        elif filled is not value:
            made[key] = filled
    return made


def _refilled_sequence(shape: Any, values: Iterator[Any]) -> Any:
    kind = type(shape)
    items = [refill(value, values) for value in shape]
    kept = [value for value in items if value is not SKIPPED]
    if hasattr(kind, "_make"):
        return kind._make(kept) if len(kept) == len(items) else tuple(kept)
    if kind in _SEQUENCES:
        return kind(kept)
    if len(kept) == len(items) and all(map(operator.is_, kept, shape)):
        return shape
    if issubclass(kind, list):
        made = copy.copy(shape)
        made[:] = kept
        return made
    return kind(kept)
