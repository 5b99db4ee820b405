"""Both ways of packing and unpacking say the same: field by field, and written out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, TypeAlias

import msgpack
import pytest
from hypothesis import given, strategies as st

from tests.messages.message_strategies import ANY_MESSAGE, kinds_of, messages_of
from tests.messages.test_codec import TYPES, WRONG, example
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages import Message, decode, encode, message_types
from trio_dask.messages.columns import PAYLOADS
from trio_dask.messages.quick import written_out
from trio_dask.messages.tasks import Done, Run

if TYPE_CHECKING:
    from collections.abc import Callable

WITHOUT = [each for each in TYPES if PAYLOADS not in kinds_of(each).values()]
Both: TypeAlias = "tuple[Callable[[Any], list[Any]], Callable[[Any], Message]]"
_made: dict[type[Message], Both] = {}


def functions(kind: type[Message]) -> Both:
    """`pack` and `made` of a type."""
    if kind not in _made:
        _made[kind] = written_out(kind, kind.TAG, kinds_of(kind), kind.PARALLEL)
    return _made[kind]


@given(st.sampled_from(WITHOUT).flatmap(messages_of))
def test_messages_are_packed_and_come_back_the_same(said: Message) -> None:
    """Of any type."""
    pack, made = functions(type(said))
    [row] = msgpack.unpackb(encode([said])[0], unicode_errors="surrogatepass")
    assert pack(said) == row
    assert made(row) == said


@pytest.mark.parametrize("kind", WITHOUT, ids=lambda each: each.__name__)
def test_what_is_refused_field_by_field_does_not_pass(kind: type[Message]) -> None:
    """Every field of every type with every wrong value, another tag, and rows of other lengths."""
    _, made = functions(kind)
    [good] = msgpack.unpackb(encode([example(kind)])[0])
    bad = [good[:-1], [*good, 1], [float(kind.TAG), *good[1:]]]
    for at, of in enumerate(kinds_of(kind).values(), 1):
        bad += [[*good[:at], wrong, *good[at + 1 :]] for wrong in WRONG[of]]
    for row in bad:
        with pytest.raises((TypeError, ValueError, OverflowError)):
            made(row)


@given(ANY_MESSAGE, st.data())
def test_any_row_is_taken_by_both_or_by_none(said: Message, data: st.DataObject) -> None:
    """Also those in which a field has what belongs into another."""
    kind = type(said)
    if kind not in WITHOUT:
        return
    [row] = msgpack.unpackb(encode([said])[0], unicode_errors="surrogatepass")
    at, other = (data.draw(st.integers(1, len(row) - 1)) for _ in range(2))
    row[at] = row[other]
    frame = msgpack.packb([row], unicode_errors="surrogatepass")
    try:
        expected: Message | None = field_by_field(frame)
    except RemoteProtocolError:
        expected = None
    try:
        found: Message | None = functions(kind)[1](row)
    except Exception:  # noqa: BLE001 - whatever: the codec says what it is
        return  # a number that is whole may be a float: that is left to the other
    assert repr(found) == repr(expected)  # no value of its own equals one that is no number


def field_by_field(frame: bytes) -> Message:
    """What the frame says, however often its types have been used."""
    shapes = decode.__globals__["_TYPES"].values()
    kept = [(shape, shape.quick_made) for shape in shapes]
    try:
        for shape in shapes:
            shape.quick_made = None
        return decode(frame, [])[0]
    finally:
        for shape, made in kept:
            shape.quick_made = made


def counted(act: Callable[[], object]) -> int:
    """The calls that it makes."""
    count = 0

    def profile(_frame: object, event: str, _argument: object) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(None)
    return count


def test_what_is_said_often_costs_less_than_a_call_for_each_field() -> None:
    """The tasks' own messages have fifteen fields, most of them empty."""
    said: list[Message] = [Run([1], [1], [1], [1], [b"x"], [], [], [], [], [], [])]
    header, _ = encode(said)
    for _ in range(100):
        encode(said)
        decode(header, [])
    assert counted(lambda: encode(said)) <= 22
    assert counted(lambda: decode(header, [])) <= 32


def test_errors_are_the_same_when_it_is_written_out() -> None:
    """They name the field."""
    said = Done([1], [0], [0.5], [3], [b"abc"])
    header, _ = encode([said])
    for _ in range(100):
        encode([said])
        decode(header, [])
    with pytest.raises(Exception, match=r"Done\.seconds: "):
        encode([Done([1], [0], ["x"], [3], [b"abc"])])  # type: ignore[list-item]
    with pytest.raises(Exception, match="different lengths"):
        encode([Done([1], [0], [0.5], [3], [])])
    [row] = msgpack.unpackb(header)
    row[3] = b"seven b"
    with pytest.raises(RemoteProtocolError, match=r"Done\.seconds: "):
        decode(msgpack.packb([row]), [])


def test_fields_may_be_called_anything() -> None:
    """Also as what is used in what is written out."""
    tag = max(message_types()) + 1000
    assert tag not in message_types()
    kinds = {"array": "int64", "made": str, "row": int, "tag": bytes}

    class Odd:
        def __init__(self, array: Any, made: Any, row: Any, tag: Any) -> None:
            self.array, self.made, self.row, self.tag = array, made, row, tag

    pack, made = written_out(Odd, tag, kinds, ())
    row = pack(Odd([1], "m", 7, b"t"))
    assert row[1:] == [(1).to_bytes(8, "little"), "m", 7, b"t"]
    assert vars(made(row)) == {"array": [1], "made": "m", "row": 7, "tag": b"t"}
