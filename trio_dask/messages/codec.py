"""Messages to frames and back: the header is msgpack, large payloads stay outside it.

One frame carries any number of messages. Its header is the msgpack encoding of
``[[tag, field, …], …]``; the payloads of all messages follow it as raw buffers,
in order, each message's header entry saying how many are its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields
from operator import attrgetter
from typing import Any, ClassVar, Final, TypeVar, dataclass_transform, get_type_hints

import msgpack

from trio_dask.errors import LocalProtocolError, RemoteProtocolError
from trio_dask.messages.columns import (
    KINDS,
    PAYLOADS,
    SWAPS,
    Buffer,
    Check,
    FieldError,
    Handle,
    Pack,
    Payload,
    check_payloads,
)
from trio_dask.messages.quick import written_out
from trio_dask.messages.slotted import Slotted, slotted


class Message(Slotted):
    """What one process says to another. Subclasses are registered by `message`."""

    __slots__ = ()
    TAG: ClassVar[int]
    #: Names of columns that must have one length; a frame where they differ is refused.
    PARALLEL: ClassVar[tuple[str, ...]] = ()

    # Once for all types: made for each of them, these would be half of the import.
    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        names = _PACKERS[type(self)].names
        return all(getattr(self, name) == getattr(other, name) for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        names = _PACKERS[type(self)].names
        inside = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({inside})"


M = TypeVar("M", bound=type[Message])

#: A type that has been used so often is worth having its functions written out.
_OFTEN: Final = 64

_TYPES: Final[dict[int, _Shape]] = {}
_PACKERS: Final[dict[type[Message], _Shape]] = {}


class _Shape:
    """How the fields of one message type are packed and checked: looked at with its first message,
    as a process starts with a hundred types, and says a few of them before it is there.
    """

    __slots__ = (
        "check", "columns", "kind", "kinds", "names", "pack", "quick_made", "quick_pack", "uses",
        "values",
    )  # fmt: skip
    names: tuple[str, ...]
    pack: tuple[Pack | None, ...]  # None: payloads, which leave the header
    check: tuple[Check | None, ...]
    #: What is in all fields, and in those of `PARALLEL`: one call for a message.
    values: Callable[[Message], tuple[Any, ...]]
    columns: Callable[[Message], tuple[Any, ...]] | None
    kinds: dict[str, Any]  # by name

    def __init__(self, kind: type[Message]) -> None:
        self.kind = kind
        self.uses = 0
        #: Both ways in one call, once it has been used often: see `quick`.
        self.quick_pack: Callable[[Any], list[Any]] | None = None
        self.quick_made: Callable[[list[Any]], Message] | None = None

    def __getattr__(self, name: str) -> Any:
        # One of the others, and nobody has asked before.
        hints = get_type_hints(self.kind, include_extras=True)
        names = tuple(each.name for each in fields(self.kind))  # type: ignore[arg-type]
        kinds = [_field_kind(hints[each]) for each in names]
        self.pack = tuple(None if kind == PAYLOADS else KINDS[kind][0] for kind in kinds)
        self.check = tuple(None if kind == PAYLOADS else KINDS[kind][1] for kind in kinds)
        self.values = _values_of(names)
        self.columns = _values_of(self.kind.PARALLEL) if self.kind.PARALLEL else None
        self.kinds = dict(zip(names, kinds, strict=True))
        self.names = names
        return object.__getattribute__(self, name)

    def count(self) -> None:
        """It was used."""
        self.uses += 1
        if self.uses == _OFTEN:
            self.quicken()

    def quicken(self) -> None:
        """Have its functions written out."""
        if PAYLOADS not in self.kinds.values() and not SWAPS:
            self.quick_pack, self.quick_made = written_out(
                self.kind, self.kind.TAG, self.kinds, self.kind.PARALLEL
            )


def _field_kind(hint: Any) -> Any:
    metadata = getattr(hint, "__metadata__", None)
    return metadata[0] if metadata else hint


@dataclass_transform(kw_only_default=False)
def message(tag: int) -> Callable[[M], M]:
    """Register a message type under `tag`, its number on the wire."""

    def register(cls: M) -> M:
        if tag in _TYPES:
            msg = f"tag {tag} of {cls.__name__} is already {_TYPES[tag].kind.__name__}'s"
            raise TypeError(msg)
        made: Any = slotted(cls)
        made.TAG = tag
        _TYPES[tag] = _PACKERS[made] = _Shape(made)
        return made  # type: ignore[no-any-return]

    return register


def _values_of(names: tuple[str, ...]) -> Callable[[Message], tuple[Any, ...]]:
    """What is in these fields of a message, always as a tuple."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda made: tuple([getattr(made, name) for name in names])


def quicken_all() -> None:
    """Pack all types from now on as those that are used often."""
    for shape in _TYPES.values():
        if shape.quick_pack is None:
            shape.quicken()


def message_types() -> dict[int, type[Message]]:
    """All registered message types by tag."""
    return {tag: shape.kind for tag, shape in sorted(_TYPES.items())}


_packer = msgpack.Packer(use_bin_type=True, unicode_errors="surrogatepass", autoreset=True)


def payload_bytes(payload: Payload) -> int:
    """The length of a payload in bytes, whether it is in one piece or several."""
    if isinstance(payload, list):
        return sum(map(payload_bytes, payload))
    return payload.nbytes if isinstance(payload, memoryview | Handle) else len(payload)


def encode(messages: Iterable[Message]) -> tuple[bytes, list[Payload]]:
    """The header and the payloads of a frame with these messages.

    Raises:
        LocalProtocolError: a field holds what its annotation forbids.
    """
    rows: list[list[Any]] = []
    payloads: list[Payload] = []
    for each in messages:
        shape = _PACKERS[type(each)]
        if shape.quick_pack is not None:
            try:
                rows.append(shape.quick_pack(each))
                continue
            except Exception:  # noqa: BLE001 - something is wrong, and is said below
                pass
        row: list[Any] = [each.TAG]
        try:
            for pack, value in zip(shape.pack, shape.values(each), strict=True):
                if pack is None:
                    row.append(len(check_payloads(value)))
                    payloads += value
                else:
                    row.append(pack(value))
        except (TypeError, ValueError, OverflowError, AttributeError) as error:
            unset = error.name if isinstance(error, AttributeError) else None
            msg = f"{type(each).__name__}.{unset or shape.names[len(row) - 1]}: {error}"
            raise LocalProtocolError(msg) from error
        if shape.columns is not None and len(set(map(len, shape.columns(each)))) != 1:
            raise LocalProtocolError(_uneven(each))
        rows.append(row)
        shape.count()
    try:
        return _packer.pack(rows), payloads
    except (TypeError, ValueError, OverflowError, BufferError) as error:
        _packer.reset()
        names = ", ".join(sorted({_TYPES[row[0]].kind.__name__ for row in rows}))
        msg = f"cannot encode {names}: {error}"
        raise LocalProtocolError(msg) from error


def decode(header: Buffer, payloads: list[Buffer]) -> list[Message]:
    """The messages of one frame, every field checked.

    Raises:
        RemoteProtocolError: the frame is not what a peer of this version says.
    """
    try:
        rows = msgpack.unpackb(
            header, raw=False, use_list=True, strict_map_key=True, unicode_errors="surrogatepass"
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        msg = f"a header that is not msgpack: {type(error).__name__}"
        raise RemoteProtocolError(msg) from error
    if type(rows) is not list:
        msg = "a header that is not a list of messages"
        raise RemoteProtocolError(msg)
    out: list[Message] = []
    used = 0
    for row in rows:
        shape = _TYPES.get(row[0]) if type(row) is list and row and type(row[0]) is int else None
        if shape is not None and shape.quick_made is not None:
            try:
                out.append(shape.quick_made(row))
                continue
            except Exception:  # noqa: BLE001 - something is wrong, and is said below
                pass
        made, used = _decode_row(row, payloads, used)
        out.append(made)
    if used != len(payloads):
        msg = f"{len(payloads)} payloads where {used} belong"
        raise RemoteProtocolError(msg)
    return out


def _decode_row(row: Any, payloads: list[Buffer], used: int) -> tuple[Message, int]:
    shape = _TYPES.get(row[0]) if type(row) is list and row and type(row[0]) is int else None
    if shape is None:
        tag = row[0] if type(row) is list and row else row
        # Not the repr of whatever it is: a peer chooses how deep that is.
        msg = f"an unknown message {tag if type(tag) is int else type(tag).__name__}"
        raise RemoteProtocolError(msg)
    if len(row) != len(shape.check) + 1:
        msg = f"{shape.kind.__name__} with {len(row) - 1} fields"
        raise RemoteProtocolError(msg)
    values: list[Any] = []
    try:
        for check, raw in zip(shape.check, row[1:], strict=True):
            if check is None:
                if type(raw) is not int or not 0 <= raw <= len(payloads) - used:
                    msg = "payloads that are not there"
                    raise FieldError(msg)
                values.append(payloads[used : used + raw])
                used += raw
            else:
                values.append(check(raw))
    except FieldError as error:
        msg = f"{shape.kind.__name__}.{shape.names[len(values)]}: {error}"
        raise RemoteProtocolError(msg) from error
    made = shape.kind(*values)
    if shape.columns is not None and len(set(map(len, shape.columns(made)))) != 1:
        raise RemoteProtocolError(_uneven(made))
    shape.count()
    return made, used


def _uneven(made: Message) -> str:
    """What is wrong with the lengths of a message's columns."""
    lengths = ", ".join(f"{name} {len(getattr(made, name))}" for name in made.PARALLEL)
    return f"{type(made).__name__} with columns of different lengths: {lengths}"
