"""How large a value is, roughly, without looking at all of it."""

from __future__ import annotations

import sys
from typing import Any, Final

_SAMPLES: Final = 16
_DEPTH: Final = 4
_POINTER: Final = 8


def sizeof(value: Any) -> int:
    """An estimate of the bytes that `value` occupies.

    Cheap and never failing: containers are sampled, arrays say it themselves. Where Dask's
    `sizeof` is loaded, what is registered there for a type counts.
    """
    try:
        return _sizeof(value, _DEPTH)
    except BaseException:  # noqa: BLE001 - users' objects may raise anything when looked at
        return object.__sizeof__(value)


def _sizeof(value: Any, depth: int) -> int:
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return sys.getsizeof(value) + _sampled(value, len(value), depth)
    if kind is dict:
        keys, values = value.keys(), value.values()
        count = len(value)
        return sys.getsizeof(value) + _sampled(keys, count, depth) + _sampled(values, count, depth)
    if kind is memoryview:
        return int(value.nbytes)
    if kind.__module__ == "builtins":
        return sys.getsizeof(value)
    return _size_of_object(value, depth)


def _sampled(items: Any, count: int, depth: int) -> int:
    """The size of what a container refers to, from a few members spread over it."""
    if not count or not depth:
        return 0
    if count <= _SAMPLES:
        return sum(_sizeof(item, depth - 1) for item in items)
    if isinstance(items, (list, tuple)):
        step = count // _SAMPLES
        chosen = [items[at * step] for at in range(_SAMPLES)]
    else:
        chosen = [item for item, _ in zip(items, range(_SAMPLES), strict=False)]
    return sum(_sizeof(item, depth - 1) for item in chosen) * count // _SAMPLES


def _size_of_object(value: Any, depth: int) -> int:
    kind = type(value)
    dasks = sys.modules.get("dask.sizeof")
    if dasks is not None:
        registered = dasks.sizeof.dispatch(kind)
        if registered is not dasks.sizeof.dispatch(object):
            return int(registered(value))
    usage = getattr(kind, "memory_usage", None)
    if callable(usage):  # data frames, series, indexes
        found = value.memory_usage(deep=False)
        return int(found.sum() if hasattr(found, "sum") else found)
    nbytes = getattr(value, "nbytes", None)
    if isinstance(nbytes, int):
        return max(nbytes, 0) + 128
    size = sys.getsizeof(value, 64)
    attributes = getattr(value, "__dict__", None)
    if type(attributes) is dict and depth:
        size += sys.getsizeof(attributes) + _POINTER
        size += _sampled(attributes.values(), len(attributes), depth - 1)
    return size
