"""What users hand over as parameters, and what of it can be sent."""

from __future__ import annotations

import enum
import re
from typing import Any

import pytest

from trio_dask.messages import as_plain, decode, encode
from trio_dask.messages.session import Ask


class Text(str):
    """Text of another type."""

    __slots__ = ()


class Colour(str, enum.Enum):  # noqa: UP042 - one that shows itself as something else
    """Text that shows itself as something else."""

    RED = "red"


class Number(enum.IntEnum):
    """A number with a name."""

    TWO = 2


class Share(float):
    """A number of another type."""

    __slots__ = ()


def kinds(tree: Any) -> Any:
    """The same tree with types for values."""
    if isinstance(tree, dict):
        return {kinds(name): kinds(each) for name, each in tree.items()}
    return [kinds(each) for each in tree] if isinstance(tree, list) else type(tree)


def test_what_is_like_plain_values_becomes_plain() -> None:
    """Text, numbers and bytes of other types are what they are; what is plain stays the same object."""
    odd = {"a": [Text("t"), Colour.RED, Number.TWO, Share(0.5), (Text("u"),), {Text("k"): True}]}
    found = as_plain(odd)
    assert found == {"a": ["t", "red", 2, 0.5, ["u"], {"k": True}]}
    assert kinds(found) == {str: [str, str, int, float, [str], {str: bool}]}
    header, _ = encode([Ask(1, "topic", found)])
    [ask] = decode(header, [])
    assert ask == Ask(1, "topic", found)
    plain = {"a": [1, "t", None, b"b", 0.5, {"k": (1, 2)}], "n": 2**64 - 1}
    assert as_plain(plain) is plain


def test_numbers_of_numpy_become_plain() -> None:
    """Its scalars are what people get from arrays of theirs."""
    numpy = pytest.importorskip("numpy")
    odd = [numpy.int64(3), numpy.float32(0.5), numpy.str_("t"), numpy.bool_(True)]
    found = as_plain({"a": odd})
    assert found == {"a": [3, 0.5, "t", True]}
    assert kinds(found["a"]) == [int, float, str, bool]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (object(), "object among plain values"),
        (2**64, "an int of more than 64 bits"),
        (-(2**63) - 1, "an int of more than 64 bits"),
        ({1: 2}, "keys that are not str"),
        ({3}, "set among plain values"),
    ],
)
def test_what_cannot_be_sent_is_named(value: Any, why: str) -> None:
    """Before anything is packed."""
    with pytest.raises(ValueError, match=rf"n={re.escape(repr(value))} cannot be sent: .*{why}"):
        as_plain({"m": 1, "n": value})


def test_what_contains_itself_is_named() -> None:
    """Without end it has no bytes."""
    inner: list[Any] = []
    inner.append(inner)
    with pytest.raises(ValueError, match=r"n=.* cannot be sent"):
        as_plain({"n": inner})
