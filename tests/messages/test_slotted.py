"""Classes of messages: as dataclasses make them, but with the first object."""

from __future__ import annotations

import copy
import pickle
import threading
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, ClassVar

import pytest

from trio_dask.messages.slotted import Slotted, slotted


class Told(Slotted):
    """Some fields."""

    NUMBERS: ClassVar = (1, 2)
    a: int
    b: str = "b"
    c: list[int] = field(default_factory=list)

    def both(self) -> str:
        return f"{self.a}{self.b}"


Told = slotted(Told)  # type: ignore[misc, assignment]


def test_it_is_a_dataclass_with_slots() -> None:
    """Defaults, names, matching, copies; and nothing besides."""
    made: Any = Told
    one = made(1, c=[3])
    assert (one.a, one.b, one.c, one.both(), made.NUMBERS) == (1, "b", [3], "1b", (1, 2))
    assert made(1).c is not made(1).c
    assert [each.name for each in fields(made)] == ["a", "b", "c"] == list(made.__match_args__)
    assert replace(one, a=2).both() == "2b"
    for again in (copy.copy(one), pickle.loads(pickle.dumps(one))):
        assert (again.a, again.b, again.c) == (1, "b", [3])
    assert is_dataclass(type(one))
    with pytest.raises(AttributeError):
        one.d = 1
    with pytest.raises(TypeError, match="argument"):
        made()
    assert (made.__name__, made.__doc__) == ("Told", "Some fields.")


def test_its_functions_are_made_once_by_whoever_comes_first() -> None:
    """Of several threads, each has an object; fields may be asked for before there is one."""

    class Raced(Slotted):
        a: int
        b: list[int] = field(default_factory=list)

    kind: Any = slotted(Raced)
    assert "__init__" not in kind.__dict__
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(kind(1))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert [(each.a, each.b) for each in made] == [(1, [])] * 8

    class Looked(Slotted):
        a: int = 3

    looked: Any = slotted(Looked)
    assert [each.default for each in fields(looked)] == [3]
    assert looked().a == 3
    assert not hasattr(Slotted, "__dataclass_fields__")

    @dataclass
    class Other:
        a: int

    assert is_dataclass(Other)
