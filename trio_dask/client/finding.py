"""Futures wherever they are: in containers, and in dask's collections."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeAlias

from trio_dask.client.futures import AsyncFuture, BaseFuture, Future
from trio_dask.client.shapes import futures_in

AnyFuture: TypeAlias = AsyncFuture[Any] | Future[Any]


def futures_of(found_in: Any) -> list[AnyFuture]:
    """The futures in nested containers, and in dask's collections that were persisted."""
    found: list[Any] = []
    shape = found_in if isinstance(found_in, list | tuple | set | dict) else _listed(found_in)
    futures_in(_without_collections(shape), found)
    return of_one_kind(found)


def _without_collections(shape: Any) -> Any:
    """The same with the futures of a collection in its place."""
    if type(shape) in (list, tuple, set, frozenset):
        return [_without_collections(each) for each in shape]
    if type(shape) is dict:
        return [_without_collections(each) for each in shape.values()]
    if "dask.base" in sys.modules and not isinstance(shape, BaseFuture) and _is_collection(shape):
        return list(shape.__dask_graph__().values())
    return shape


def _is_collection(thing: Any) -> bool:
    from dask.base import is_dask_collection

    return bool(is_dask_collection(thing))


def of_one_kind(futures: list[Any]) -> list[AnyFuture]:
    """The same futures, all of one kind of client.

    Raises:
        TypeError: they are not.
    """
    kinds = set(map(type, futures))
    awaited = {kind for kind in kinds if issubclass(kind, AsyncFuture)}
    blocking = {kind for kind in kinds if issubclass(kind, Future)}
    if awaited and blocking:
        msg = "futures of an AsyncClient and of a Client are waited for separately"
        raise TypeError(msg)
    if strange := kinds - awaited - blocking:
        msg = f"what is waited for are futures, not {strange.pop().__name__}"
        raise TypeError(msg)
    return futures


def _listed(shape: Any) -> list[Any]:
    if isinstance(shape, BaseFuture) or ("dask.base" in sys.modules and _is_collection(shape)):
        return [shape]
    if isinstance(shape, str | bytes) or not isinstance(shape, Iterable):
        msg = f"what is meant are futures, in lists, tuples, sets or dicts, not {shape!r:.100}"
        raise TypeError(msg)
    return list(shape)
