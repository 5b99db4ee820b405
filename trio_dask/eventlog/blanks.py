"""Messages without what users put into them: arguments, values and functions leave their lengths.

No core looks into those: what it decides depends on how many there are, at most on how
long they are. So a log is small, has no user's data in it, and is as good as with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from typing import Any, Final, TypeAlias, get_type_hints

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Message, payload_bytes

#: For the types that have columns of byte strings: all fields, and how the lengths of those
#: columns are measured (None: it is none).
_Columns: TypeAlias = tuple[tuple[str, Callable[[Any], int] | None], ...]
_COLUMNS: Final[dict[type[Message], _Columns]] = {}
_MEASURES: Final[dict[object, Callable[[Any], int]]] = {"blobs": len, "payloads": payload_bytes}


def _columns(kind: type[Message]) -> _Columns:
    known = _COLUMNS.get(kind)
    if known is None:
        hints = get_type_hints(kind, include_extras=True)
        made: Any = kind
        found = [
            (each.name, _MEASURES.get(getattr(hints[each.name], "__metadata__", ("",))[0]))
            for each in fields(made)
        ]
        known = _COLUMNS[kind] = tuple(found) if any(measure for _, measure in found) else ()
    return known


def blanked(message: Message) -> Message:
    """The message with its byte strings emptied."""
    columns = _columns(type(message))
    if not columns:
        return message
    values: list[Any] = []
    for name, measure in columns:
        value = getattr(message, name)
        values.append(value if measure is None else [b""] * len(value))
    return type(message)(*values)


def sizes(message: Message) -> list[int]:
    """The lengths of the message's byte strings."""
    found: list[int] = []
    for name, measure in _columns(type(message)):
        if measure is not None:
            found += map(measure, getattr(message, name))
    return found


def filled(message: Message, lengths: list[int]) -> Message:
    """The message with byte strings of these lengths, each an object of its own.

    Zeros, and large ones take no memory as long as nobody reads them.

    Raises:
        RemoteProtocolError: they are not as many as its byte strings, or none can be so long.
    """
    columns = [name for name, measure in _columns(type(message)) if measure is not None]
    if len(lengths) != sum(len(getattr(message, name)) for name in columns):
        msg = f"{len(lengths)} lengths for the byte strings of {type(message).__name__}"
        raise RemoteProtocolError(msg)
    at = 0
    try:
        for name in columns:
            column = getattr(message, name)
            column[:] = map(bytes, lengths[at : at + len(column)])
            at += len(column)
    except (ValueError, MemoryError, OverflowError) as error:
        msg = f"{type(message).__name__} with byte strings that cannot be: {error}"
        raise RemoteProtocolError(msg) from error
    return message
