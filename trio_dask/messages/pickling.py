"""Pickling: by which tables, and into pieces of which large ones are the objects' own memory."""

from __future__ import annotations

import copyreg
import io
import pickle
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from trio_dask.messages.columns import Buffer

PROTOCOL: Final = 5
#: A part of a pickle of this size is one object's own bytes; the others are opcodes.
OWN_BYTES_MIN: Final = 256 * 1024

#: How values of types are taken apart that have said so; what has no entry is pickle's.
REGISTERED: Final[dict[type, Callable[[Any], Any]]] = {}
_table: dict[type, Any] = {}
_table_of = (0, 0)


class File:
    """For a pickler: gets its pieces. A call of a list's own costs next to nothing."""

    __slots__ = ("write",)

    def __init__(self, write: Callable[[Any], object]) -> None:
        self.write = write


def pickler(file: Any, keep: Callable[[pickle.PickleBuffer], bool] | None = None) -> pickle.Pickler:
    """Pickle's own, which knows the registered types; `keep` is asked about each buffer."""
    made = pickle.Pickler(file, PROTOCOL, buffer_callback=keep)
    if REGISTERED:
        made.dispatch_table = _known()
    return made


def dumps(value: Any, keep: Callable[[pickle.PickleBuffer], bool] | None = None) -> bytes:
    """The pickle of a value, in one piece."""
    if not REGISTERED:
        return pickle.dumps(value, PROTOCOL, buffer_callback=keep)
    with io.BytesIO() as file:
        pickler(file, keep).dump(value)
        return file.getvalue()


def _known() -> dict[type, Any]:
    """Ours, and those of `copyreg`, of which a pickler with a table does not know otherwise."""
    global _table, _table_of  # noqa: PLW0603 - a cache
    state = len(copyreg.dispatch_table), len(REGISTERED)
    if state != _table_of:
        _table = {**copyreg.dispatch_table, **REGISTERED}
        _table_of = state
    return _table


def pieces_of(written: Iterable[Any]) -> list[Buffer]:
    """What a pickler has written, as pieces that stay as long and where they are."""
    return [memoryview(each) if type(each) is bytearray else each for each in written]


def register_serialization(
    cls: type,
    serialize: Callable[[Any], tuple[Any, Iterable[Any]]],
    deserialize: Callable[[Any, list[memoryview]], Any],
) -> None:
    """Say how values of a type travel: as a header and as memory that is not copied on the way.

    For types of which pickle makes copies, or that it cannot pickle at all. Registered once in
    each process that sends such values, best where the type is defined: who imports the type
    has it then. Whoever receives one needs no more than to be able to import `deserialize`.

    Args:
        cls: the type itself; not those derived from it, which have more to them.
        serialize: gives a header, which is anything that can be pickled, and the buffers:
            any objects with memory in one piece.
        deserialize: the value again, of a header and the buffers as views of memory. It may keep
            them, and write to those of what could be written to.

    Raises:
        TypeError: it is no type, or these are no functions.
    """
    given: Any = cls
    if not isinstance(given, type):
        msg = f"{given!r:.100} is no type"
        raise TypeError(msg)
    functions: tuple[Any, ...] = serialize, deserialize
    for each in functions:
        if not callable(each):
            msg = f"{each!r:.100} cannot be called"
            raise TypeError(msg)

    def reduce(value: Any) -> tuple[Any, ...]:
        taken: Any = serialize(value)
        if type(taken) is not tuple or len(taken) != 2:
            msg = f"the serializer of {cls.__name__} gives a header and buffers, not {taken!r:.100}"
            raise TypeError(msg)
        header, buffers = taken
        return put_together, (deserialize, header, *map(pickle.PickleBuffer, buffers))

    REGISTERED.pop(cls, None)
    global _table_of
    REGISTERED[cls], _table_of = reduce, (0, 0)


def put_together(deserialize: Callable[..., Any], header: Any, *buffers: Any) -> Any:
    """Unpickles a value of a registered type."""
    return deserialize(header, [memoryview(each) for each in buffers])


def reduce_view(view: memoryview) -> tuple[Any, ...]:
    """How a memoryview is pickled: its memory travels as an array's does."""
    if not view.c_contiguous:
        flat = memoryview(view.tobytes())
        return view_of, (pickle.PickleBuffer(flat), view.format, view.shape)
    if view.format == "B" and view.ndim == 1:
        return memoryview, (pickle.PickleBuffer(view),)
    return view_of, (pickle.PickleBuffer(view), view.format, view.shape)


def view_of(buffer: Any, form: str, shape: tuple[int, ...]) -> memoryview:
    """Unpickles a memoryview of something else than a row of bytes."""
    flat = memoryview(buffer).cast("B")
    return flat.cast(form, shape) if flat.nbytes else flat.cast(form)  # type: ignore[call-overload,no-any-return]
