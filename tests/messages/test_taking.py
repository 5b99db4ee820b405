"""What functions take along: whether it is still the same is said without pickling it again."""

from __future__ import annotations

import functools
import gc
import json
import math
import sys
import types
import weakref
from typing import TYPE_CHECKING, Any

import cloudpickle
import pytest

from trio_dask.messages.foreign import by_value
from trio_dask.messages.payload import pack_function
from trio_dask.messages.taking import taken_by, travels_by_name

if TYPE_CHECKING:
    from collections.abc import Callable

SCRIPT = """
import json, math
from math import floor

limit, names = 3, ("a", b"b", None)

def inner(x, y=1):
    return floor(x) + y + step

def outer(x, *, z=2):
    return math.sqrt(inner(x)) + limit + z + len(names) + len(json.dumps(x)) + extra()

def again(x):
    return again(x - 1) if x else other(x)

def other(x):
    return again(x)

step = 1
"""


def script() -> dict[str, Any]:
    """What a script defines, that no other process can import."""
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(SCRIPT, space)
    return space


def test_a_function_of_a_script() -> None:
    """With functions, modules and constants that it uses, all of which stay what they are."""
    space = script()
    for name in ("inner", "outer", "again"):
        taken = taken_by(space[name])
        assert taken is not None
        assert taken.is_so()


CHANGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a constant": lambda space: space.update(limit=4),
    "a constant of what it calls": lambda space: space.update(step=2),
    "another function": lambda space: space.update(inner=lambda x: x),
    "the same again": lambda space: exec(SCRIPT, space),
    "code": lambda space: setattr(space["inner"], "__code__", (lambda x, y: x).__code__),
    "a default": lambda space: setattr(space["inner"], "__defaults__", (2,)),
    "no default": lambda space: setattr(space["inner"], "__defaults__", None),
    "a named default": lambda space: space["outer"].__kwdefaults__.update(z=3),
    "an attribute": lambda space: setattr(space["inner"], "tag", 1),
    "a name": lambda space: setattr(space["outer"], "__name__", "another"),
    "what was not there": lambda space: space.update(extra=len),
    "what is not there any more": lambda space: space.pop("limit"),
    "a module": lambda space: space.update(math=json),
    "a builtin": lambda space: space.update(len=lambda _: 0),
}


@pytest.mark.parametrize("what", CHANGES)
def test_each_change_is_seen(what: str) -> None:
    """Of the function, and of what it takes along."""
    space = script()
    taken = taken_by(space["outer"])
    assert taken is not None
    CHANGES[what](space)
    assert not taken.is_so()


def test_what_is_around_it() -> None:
    """A cell is filled, and filled with something else."""
    if TYPE_CHECKING:
        scale = 0

    def scaled(x: int) -> int:
        return x * scale

    assert isinstance(scaled, types.FunctionType)
    empty = taken_by(scaled)
    scale = 2
    full = taken_by(scaled)
    assert empty is not None
    assert full is not None
    assert full.is_so()
    assert not empty.is_so()
    scale = 3
    assert not full.is_so()


def test_a_module_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be a part of a package that the function uses: then it has to be imported, too."""
    space = script()  # which holds what is looked at
    taken = taken_by(space["outer"])
    assert taken is not None
    monkeypatch.setitem(sys.modules, "json.more", types.ModuleType("json.more"))
    assert not taken.is_so()


def test_a_module_that_is_to_travel() -> None:
    """The user says so after the function was looked at."""
    space = script()
    taken = taken_by(space["outer"])
    assert taken is not None
    with by_value():
        assert taken.is_so()  # what we say to cloudpickle is nothing new
    cloudpickle.register_pickle_by_value(json)
    try:
        assert not taken.is_so()
        assert taken_by(space["outer"]) is None  # all of the module comes along
    finally:
        cloudpickle.unregister_pickle_by_value(json)
    assert taken.is_so()


class Thing:
    """Something of a user's."""


@pytest.mark.parametrize(
    "thing",
    [
        [1],
        {"a": 1},
        ([1],),
        bytearray(1),
        Thing(),
        [].append,
        {}.get,
        functools.partial(len),
        types.ModuleType("made_by_hand"),
        sys.modules["__main__"],
        type("Made", (), {}),
    ],
    ids=lambda thing: type(thing).__name__,
)
def test_what_can_change_unseen(thing: object) -> None:
    """Wherever it is: the function has to be pickled each time."""
    space = script()
    space["extra"] = thing
    assert taken_by(space["outer"]) is None
    exec("def extra(): return thing", space)
    space["thing"] = thing
    assert taken_by(space["outer"]) is None
    space = script()
    space["inner"].__defaults__ = (thing,)
    assert taken_by(space["outer"]) is None


def test_what_is_found_by_its_name_is_not_looked_into() -> None:
    """Functions, classes and modules that others import, whatever these refer to."""
    space = script()
    for each in (json.dumps, math.floor, dict.fromkeys, weakref.WeakSet, json):
        space["extra"] = each
        taken = taken_by(space["outer"])
        assert taken is not None
        assert taken.is_so()


def test_nothing_is_held() -> None:
    """A function goes when its last user does, also if it refers to itself, or what it calls does."""
    space = script()
    kept = [taken_by(space[name]) for name in ("outer", "again")]
    gone = [weakref.ref(each) for each in space.values() if type(each) is types.FunctionType]
    del space
    gc.collect()
    assert [each() for each in gone] == [None] * 4
    assert not any(each.is_so() for each in kept if each is not None)


def test_a_method_of_an_object_takes_it_along() -> None:
    """Its pickle is that of the object."""
    fn: Callable[..., Any]
    for fn in (dict[int, int]().get, list[int]().append, "{}".format):
        assert not travels_by_name(fn, pack_function(fn))
    for fn in (len, math.sqrt, dict[int, int].fromkeys, json.dumps):
        assert travels_by_name(fn, pack_function(fn))
