"""Unpickling in a process where other threads may be importing the same packages.

Modules of a package often need each other. If one thread imports the package, and another one
of its modules, each may come to wait for a module that the other has begun; Python finds that
out, and lets one of them go on with half a module, so that it fails with an `ImportError` about
a "partially initialized module". Who imports a package before its modules is in nobody's way.
"""

from __future__ import annotations

import io
import pickle
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages.columns import Buffer

#: The opcode that finds something in a module.
_GLOBAL: Final = b"\x93"

_plain_loads = pickle.loads


class _PackagesFirst(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if module not in sys.modules:
            end = module.find(".")
            while end > 0:
                __import__(module[:end])
                end = module.find(".", end + 1)
        return super().find_class(module, name)


def loads(data: Buffer) -> Any:
    """What was pickled, by protocol 4 or later. Raises whatever that raises."""
    if type(data) is bytes and _GLOBAL not in data:
        return _plain_loads(data)
    return loads_with(data, ())


def loads_with(data: Buffer, buffers: Iterable[Buffer]) -> Any:
    """The same with buffers that are beside it."""
    return _PackagesFirst(io.BytesIO(data), buffers=buffers).load()
