"""Messages without what users put into them: arguments, values and functions leave their lengths.

No core looks into those: what it decides depends on how many there are, at most on how
long they are. So a log is small, has no user's data in it, and is as good as with it.
"""

from __future__ import annotations

from dataclasses import fields
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, TypeAlias, get_type_hints

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Message, payload_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

#: For the types that have byte strings: all fields, and of which kind those are that may have
#: some (None: it has none).
_Columns: TypeAlias = tuple[tuple[str, str | None], ...]
_COLUMNS: Final[dict[type[Message], _Columns]] = {}
_PLAIN: Final = "plain"
_MEASURES: Final[dict[str, Callable[[Any], int]]] = {"blobs": len, "payloads": payload_bytes}


def _columns(kind: type[Message]) -> _Columns:
    known = _COLUMNS.get(kind)
    if known is None:
        hints = get_type_hints(kind, include_extras=True)
        made: Any = kind
        found: list[tuple[str, str | None]] = []
        for each in fields(made):
            sort = getattr(hints[each.name], "__metadata__", ("",))[0]
            found.append((each.name, sort if sort in _MEASURES or sort == _PLAIN else None))
        known = _COLUMNS[kind] = tuple(found) if any(sort for _, sort in found) else ()
    return known


def blanked(message: Message) -> Message:
    """The message with its byte strings emptied."""
    columns = _columns(type(message))
    if not columns:
        return message
    values: list[Any] = []
    for name, sort in columns:
        value = getattr(message, name)
        if sort == _PLAIN:
            value = _replaced(value, lambda _: b"")
        values.append([b""] * len(value) if sort in _MEASURES else value)
    return type(message)(*values)


def sizes(message: Message) -> list[int]:
    """The lengths of the message's byte strings."""
    found: list[int] = []
    for name, sort in _columns(type(message)):
        value = getattr(message, name)
        if sort == _PLAIN:
            found += map(len, _leaves(value))
        elif sort is not None:
            found += map(_MEASURES[sort], value)
    return found


def _replaced(tree: Any, change: Callable[[bytes], bytes]) -> Any:
    """A tree of plain values with other byte strings in it."""
    kind = type(tree)
    if kind is bytes:
        return change(tree)
    if kind is dict:
        return {name: _replaced(inner, change) for name, inner in tree.items()}
    return [_replaced(inner, change) for inner in tree] if kind in (list, tuple) else tree


def _leaves(tree: Any) -> list[bytes]:
    """The byte strings of a tree of plain values, in their order."""
    found: list[bytes] = []

    def note(leaf: bytes) -> bytes:
        found.append(leaf)
        return leaf

    _replaced(tree, note)
    return found


def filled(message: Message, lengths: list[int]) -> Message:
    """The message with byte strings of these lengths, each an object of its own.

    Zeros, and large ones take no memory as long as nobody reads them.

    Raises:
        RemoteProtocolError: they are not as many as its byte strings, or none can be so long.
    """
    columns = [(name, sort) for name, sort in _columns(type(message)) if sort is not None]
    if len(lengths) != len(sizes(message)):
        msg = f"{len(lengths)} lengths for the byte strings of {type(message).__name__}"
        raise RemoteProtocolError(msg)
    left = iter(lengths)
    try:
        for name, sort in columns:
            column = getattr(message, name)
            if sort == _PLAIN:
                setattr(message, name, _replaced(column, lambda _: bytes(next(left))))
            else:
                column[:] = map(bytes, islice(left, len(column)))
    except (ValueError, MemoryError, OverflowError) as error:
        msg = f"{type(message).__name__} with byte strings that cannot be: {error}"
        raise RemoteProtocolError(msg) from error
    return message
