"""How the fields of a message become bytes, and how they are checked on the way back.

A field's annotation names its kind. Columns of numbers travel as packed machine
words: one call packs a thousand of them, and no value of another type can be in
there. Everything is checked on arrival, so that what comes out of the codec has
the types its annotation says.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview


# To a type checker a handle is bytes, as hardly anybody has to know that a payload may be
# elsewhere. Who takes it for bytes all the same gets an error, not an empty value.
if TYPE_CHECKING:
    _AsBytes: TypeAlias = bytes
else:
    _AsBytes = object


class Handle(_AsBytes):
    """A payload that is not here but behind a descriptor: in shared memory, or in a file.

    Between processes of one host the descriptor travels and nothing is copied; elsewhere
    the bytes are read from it when they are sent. The payload lives as long as this object.
    """

    __slots__ = ("fd", "nbytes")

    fd: int
    nbytes: int

    def read(self, at: int, nbytes: int) -> bytes:
        """Some of its bytes.

        Raises:
            OSError: they are not there any more.
        """
        raise NotImplementedError

    def shed(self, at: int, nbytes: int) -> None:
        """Nobody reads these of its bytes any more. May be called by any thread, at any moment."""


class Part(Handle):
    """A payload that is some of another one, among many in a file. Only its bytes travel."""

    __slots__ = ("at", "whole")

    def __init__(self, whole: Handle, at: int, nbytes: int) -> None:
        self.whole = whole
        self.fd = whole.fd
        self.at = at
        self.nbytes = nbytes

    def read(self, at: int, nbytes: int) -> bytes:
        """Some of its bytes."""
        return self.whole.read(self.at + at, nbytes)


class Share(Part):
    """A part that nobody else has: its bytes are shed when nothing refers to it any more."""

    __slots__ = ()

    def __del__(self) -> None:
        self.whole.shed(self.at, self.nbytes)


#: Something large, as one piece or as the pieces that make it up in order.
Payload: TypeAlias = Buffer | list[Buffer]


def part_of(payload: Payload, at: int, nbytes: int) -> Payload:
    """Some of a payload that is in one piece, as one of its own; it is not copied from its file.

    Nobody may have the same of it otherwise.

    >>> part_of(b"onetwo", 3, 3)
    b'two'
    """
    assert not isinstance(payload, list)
    return Share(payload, at, nbytes) if isinstance(payload, Handle) else payload[at : at + nbytes]


Ints: TypeAlias = Annotated[list[int], "int64"]
Floats: TypeAlias = Annotated[list[float], "float64"]
Strs: TypeAlias = Annotated[list[str], "strs"]
#: Small byte strings, inside the header of a frame.
Blobs: TypeAlias = Annotated[list[bytes], "blobs"]
#: Large byte strings, outside the header: never copied by the codec.
Payloads: TypeAlias = Annotated[list[Payload], "payloads"]
#: A tree of plain values: None, bool, int, float, str, bytes, list, dict with str keys.
Plain: TypeAlias = Annotated[dict[str, Any], "plain"]

Pack: TypeAlias = Callable[[Any], Any]
Check: TypeAlias = Callable[[Any], Any]


class FieldError(ValueError):
    """A field does not hold what its annotation says."""


SWAPS: Final = sys.byteorder == "big"


def _pack_words(code: str) -> Pack:
    def pack(column: list[Any]) -> bytes:
        if type(column) is list and not column:  # as most columns of small messages are
            return b""
        return array(code, column).tobytes()

    def pack_swapped(column: list[Any]) -> bytes:  # pragma: no cover - the wire is little-endian
        words = array(code, column)
        words.byteswap()
        return words.tobytes()

    return pack_swapped if SWAPS else pack


def _check_words(code: str) -> Check:
    def check(raw: Any) -> list[Any]:
        if type(raw) is not bytes or len(raw) % 8:
            msg = "not a column of 64-bit words"
            raise FieldError(msg)
        if not raw:
            return []
        words = array(code, raw)
        if SWAPS:  # pragma: no cover - the wire is little-endian
            words.byteswap()
        return words.tolist()

    return check


def _check_type(kind: type) -> Check:
    def check(value: Any) -> Any:
        if type(value) is not kind:
            msg = f"{type(value).__name__} where {kind.__name__} belongs"
            raise FieldError(msg)
        return value

    return check


def _check_int(value: Any) -> int:
    if type(value) is not int or not INT_MIN <= value <= INT_MAX:
        msg = f"{type(value).__name__} where a 64-bit int belongs"
        raise FieldError(msg)
    return value


def _check_float(value: Any) -> float:
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value)
    msg = f"{type(value).__name__} where float belongs"
    raise FieldError(msg)


def _check_list_of(*kinds: type) -> Check:
    allowed = frozenset(kinds)

    def check(value: Any) -> Any:
        if type(value) is not list or (value and not allowed.issuperset(map(type, value))):
            msg = f"not a list of {kinds[0].__name__}"
            raise FieldError(msg)
        return value

    return check


def check_plain(value: Any) -> Any:
    """Check a tree of plain values, without recursion: a peer chooses its depth."""
    if type(value) is not dict:
        msg = f"{type(value).__name__} where dict belongs"
        raise FieldError(msg)
    return _check_nodes(value) if value else value


def _check_nodes(value: dict[str, Any]) -> dict[str, Any]:
    level: list[Any] = [value]
    count = 0
    for _ in range(_DEPTH_MAX):
        inner: list[Any] = []
        for node in level:
            kind = type(node)
            if kind is dict:
                if not _KEYS.issuperset(map(type, node)):
                    msg = "a dict with keys that are not str"
                    raise FieldError(msg)
                inner += node.values()
            elif kind is list or kind is tuple:
                inner += node
            elif kind not in _LEAVES:
                msg = f"{kind.__name__} among plain values"
                raise FieldError(msg)
            elif kind is int and not INT_MIN <= node <= _PLAIN_MAX:
                msg = "an int of more than 64 bits among plain values"
                raise FieldError(msg)
            if count + len(inner) > _NODES_MAX:
                msg = "too many plain values"
                raise FieldError(msg)
        if not inner:
            return value
        count += len(inner)
        level = inner
    msg = "plain values nested too deeply"
    raise FieldError(msg)


def as_plain(values: dict[str, Any]) -> dict[str, Any]:
    """Values as they can be sent: those of numpy, of enumerations and the like as what they are.

    Raises:
        ValueError: one of them is nothing that can be sent; the message names it.
    """
    try:
        return check_plain(values)  # type: ignore[no-any-return]
    except FieldError:
        pass
    found: dict[str, Any] = {}
    for name, value in values.items():
        try:
            found |= check_plain({name: _plainly(value)})
        except (FieldError, RecursionError) as error:
            why = "it contains itself" if isinstance(error, RecursionError) else error
            msg = f"{name}={value!r:.100} cannot be sent: {why}"
            raise ValueError(msg) from None
    return found


def _plainly(value: Any) -> Any:
    kind = type(value)
    plain = value
    if kind in _LEAVES:
        pass
    elif isinstance(value, str | bytes | float):
        [plain] = value.__getnewargs__()  # itself, whatever it shows itself as
    elif isinstance(value, Integral):
        plain = int(value)
    elif isinstance(value, Real):
        plain = float(value)
    elif kind.__module__ == "numpy" and kind.__name__.startswith("bool"):
        plain = bool(value)
    elif isinstance(value, list | tuple):
        plain = [_plainly(each) for each in value]
    elif isinstance(value, dict):
        plain = {_plainly(name): _plainly(each) for name, each in value.items()}
    return plain


INT_MIN, INT_MAX = -(1 << 63), (1 << 63) - 1
_PLAIN_MAX: Final = (1 << 64) - 1
_KEYS: Final = frozenset((str,))
_LEAVES: Final = frozenset((type(None), bool, int, float, str, bytes))
_NODES_MAX: Final = 1_000_000
#: What is deeper can be neither shown nor packed again, as both recurse; also the end of
#: a value that contains itself.
_DEPTH_MAX: Final = 256

PAYLOADS: Final = "payloads"
_check_buffers: Final = _check_list_of(bytes, bytearray, memoryview, list)


def check_payloads(value: Any) -> Any:
    """What may be sent as payloads; what arrives is in one piece, and needs no check."""
    if type(value) is list and any(isinstance(each, Handle) for each in value):
        _check_buffers([each for each in value if not isinstance(each, Handle)])
        return value
    return _check_buffers(value)


#: For every kind of field: how it is packed, and how it is checked.
KINDS: Final[dict[Any, tuple[Pack, Check]]] = {
    "int64": (_pack_words("q"), _check_words("q")),
    "float64": (_pack_words("d"), _check_words("d")),
    "strs": (_check_list_of(str), _check_list_of(str)),
    "blobs": (_check_list_of(bytes, bytearray, memoryview), _check_list_of(bytes)),
    "plain": (check_plain, check_plain),
    int: (_check_int, _check_int),
    bool: (_check_type(bool), _check_type(bool)),
    float: (_check_float, _check_float),
    str: (_check_type(str), _check_type(str)),
    bytes: (_check_type(bytes), _check_type(bytes)),
}
