"""cloudpickle, but code keeps the name of its file.

Some versions replace that name by one that is the same everywhere. Then a traceback
from another process shows no lines of source, and a frame cannot be told from others.
"""

from __future__ import annotations

import io
from collections import ChainMap
from types import CodeType
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import cloudpickle

from trio_dask.messages.pickling import PROTOCOL, REGISTERED, reduce_view

if TYPE_CHECKING:
    import pickle
    from collections.abc import Callable

Keep: TypeAlias = "Callable[[pickle.PickleBuffer], bool]"

_reduce_code = cloudpickle.Pickler.dispatch_table[CodeType]


def _with_file(code: CodeType) -> tuple[Any, ...]:
    make, args = _reduce_code(code)
    return in_file, (make, args, code.co_filename)


def in_file(make: Callable[..., CodeType], args: tuple[Any, ...], filename: str) -> CodeType:
    """Unpickles code: as cloudpickle makes it, but from this file."""
    return make(*args).replace(co_filename=filename)


class Pickler(cloudpickle.Pickler):  # type: ignore[misc]  # it has no types
    """Pickles what `pickle` cannot, or only by a name that means nothing elsewhere."""

    dispatch_table: ClassVar = ChainMap(
        {CodeType: _with_file, memoryview: reduce_view},
        REGISTERED,
        cloudpickle.Pickler.dispatch_table,
    )


def pickler(file: Any, keep: Keep | None = None) -> Pickler:
    """One that writes into a file; `keep` is asked about each buffer."""
    return Pickler(file, PROTOCOL, buffer_callback=keep)


def dumps(value: Any, keep: Keep | None = None) -> bytes:
    """The pickle of a value; `keep` is asked about each buffer in it."""
    with io.BytesIO() as file:
        pickler(file, keep).dump(value)
        return file.getvalue()
