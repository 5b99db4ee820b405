"""Futures of graphs by their keys, which is how other graphs refer to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary, ref

from trio_dask.client.core import RELEASED

if TYPE_CHECKING:
    from trio_dask.client.futures import BaseFuture


class KnownKey:
    """A key, and its futures: there may be several, and it lives as long as one of them."""

    __slots__ = ("__weakref__", "_futures", "key")

    def __init__(self, key: Any) -> None:
        self.key = key
        self._futures: list[ref[BaseFuture[Any]]] = []

    def add(self, future: BaseFuture[Any]) -> None:
        """One more."""
        self._futures = [each for each in self._futures if each() is not None]
        self._futures.append(ref(future))

    def find(self) -> BaseFuture[Any] | None:
        """One that was not released."""
        for each in reversed(self._futures):
            future: BaseFuture[Any] | None = each()
            if future is not None and future._code != RELEASED:  # noqa: SLF001
                return future
        return None


class KnownKeys:
    """All of one client."""

    def __init__(self) -> None:
        self._keys: WeakValueDictionary[Any, KnownKey] = WeakValueDictionary()

    def known(self, key: Any) -> KnownKey:
        """What futures of this key are made with."""
        known = self._keys.get(key)
        if known is None:
            known = self._keys[key] = KnownKey(key)
        return known

    def find(self, key: Any) -> BaseFuture[Any] | None:
        """A future of this key that was not released."""
        known = self._keys.get(key)
        return None if known is None else known.find()
