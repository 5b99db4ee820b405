"""Futures wherever they are: in containers, and in dask's collections."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any, TypeAlias

from trio_dask.client.futures import AsyncFuture, BaseFuture, Future
from trio_dask.client.shapes import futures_in

AnyFuture: TypeAlias = AsyncFuture[Any] | Future[Any]


def futures_of(found_in: Any) -> list[AnyFuture]:
    """The futures in nested containers, and in dask's collections that were persisted.

    There are none in anything else.
    """
    return [] if _is_strange(found_in) else futures_meant(found_in)


def futures_meant(found_in: Any) -> list[AnyFuture]:
    """The same, of what is to be futures.

    Raises:
        TypeError: it is nothing that has any.
    """
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


def _is_strange(shape: Any) -> bool:
    """Whether it is neither a future, nor a collection, nor a container."""
    if isinstance(shape, BaseFuture) or ("dask.base" in sys.modules and _is_collection(shape)):
        return False
    return isinstance(shape, str | bytes) or not isinstance(shape, Iterable)


def _listed(shape: Any) -> list[Any]:
    if isinstance(shape, BaseFuture) or ("dask.base" in sys.modules and _is_collection(shape)):
        return [shape]
    if _is_strange(shape):
        msg = f"what is meant are futures, in lists, tuples, sets or dicts, not {shape!r:.100}"
        raise TypeError(msg)
    return list(shape)
