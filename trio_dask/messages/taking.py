"""What functions take along when they travel by value, and whether it is still the same.

To pickle a function of a script takes a third of a millisecond, and more the more modules there
are; to see that nothing of what it takes along has changed takes some microseconds.
"""

from __future__ import annotations

import sys
import types
import weakref
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages import foreign
from trio_dask.messages.pickling import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What cannot change without being another object.
_CONSTANTS: Final = frozenset({type(None), bool, int, float, complex, str, bytes})
_ROWS: Final = frozenset({tuple, frozenset})
#: A builtin function with one of these is found by its name; another one is a method of an object.
_OWNERS: Final = (types.NoneType, types.ModuleType, type)
#: Stands for what is not there, and between what a function has in several places.
_NOTHING: Final = object()


class Taken:
    """What plain functions took along when they were pickled, function after function.

    Nothing that could change unseen is among it: see `taken_by`. Of what its code names it has
    what there was under each name, as a name may become that of something else at any time.
    Functions, classes and modules are not held by it.
    """

    __slots__ = ("_functions", "_state")

    def __init__(self) -> None:
        self._state = foreign.state()
        self._functions: list[tuple[weakref.ref[Any], tuple[str, ...], list[Any]]] = []

    def is_so(self) -> bool:
        """Whether what was pickled is what would be pickled now."""
        if foreign.state() != self._state:
            return False  # another module: it may be one that has to come along
        for function, names, then in self._functions:
            fn = function()
            if fn is None:
                return False
            now = _taken(fn, names)
            if len(now) != len(then):
                return False
            for one, other in zip(now, then, strict=True):
                if one is not other and (type(other) is not weakref.ref or other() is not one):
                    return False
        return True

    def add(self, thing: Any) -> bool:
        """Note what something takes along, and what that takes along; False if it may change unseen."""
        if _found_by_name(thing):
            return True
        if type(thing) is not types.FunctionType:
            return False
        seen, new = {thing}, [thing]
        while new:
            each = new.pop()
            names = tuple(dict.fromkeys(_names(each.__code__)))
            then = _taken(each, names)
            for place, value in enumerate(then):
                if type(value) in _CONSTANTS or value is _NOTHING or value is each.__code__:
                    continue
                if type(value) in _ROWS and all(type(item) in _CONSTANTS for item in value):
                    continue
                if not _found_by_name(value):
                    if type(value) is not types.FunctionType:
                        return False
                    if value not in seen:
                        seen.add(value)
                        new.append(value)
                then[place] = weakref.ref(value)
            self._functions.append((weakref.ref(each), names, then))
        return True


def taken_by(*things: Any) -> Taken | None:
    """What they take along; None if that includes something that can change without a trace.

    As do lists, arrays, objects and classes that travel by value, too.
    """
    taken = Taken()
    return taken if all(map(taken.add, things)) else None


def travels_by_name(fn: Callable[..., Any], blob: bytes) -> bool:
    """Whether the blob is only the function's name: then it is the same however often it is made."""
    if isinstance(fn, types.BuiltinFunctionType) and not isinstance(fn.__self__, _OWNERS):
        return False  # as the `get` of a dict, which takes the dict along
    try:
        return dumps(fn) == blob
    except Exception:  # noqa: BLE001 - it could not be found by its name
        return False


def _found_by_name(value: Any) -> bool:
    """Whether it is a module, function or class that another process imports by itself."""
    if type(value) is types.ModuleType:
        name = value.__name__
        return sys.modules.get(name) is value and not foreign.refers_to_foreign(
            foreign.in_pickle(name)
        )
    if isinstance(value, types.BuiltinFunctionType):
        if not isinstance(value.__self__, _OWNERS):
            return False
    elif not isinstance(value, types.FunctionType | type):
        return False
    try:
        return not foreign.refers_to_foreign(dumps(value))
    except Exception:  # noqa: BLE001 - it cannot be found by its name
        return False


def _taken(fn: types.FunctionType, names: tuple[str, ...]) -> list[Any]:
    """All that is pickled of it now, with what has each of these names where it was defined."""
    found = [fn.__code__, fn.__name__, fn.__qualname__, fn.__doc__]
    found += (*(fn.__defaults__ or ()), _NOTHING)
    if fn.__kwdefaults__:
        found += (part for item in fn.__kwdefaults__.items() for part in item)
    found.append(_NOTHING)
    if fn.__dict__:
        found += (part for item in fn.__dict__.items() for part in item)
    found.append(_NOTHING)
    if fn.__closure__:
        found += map(_inside, fn.__closure__)
    space = fn.__globals__
    found += [space.get(name, _NOTHING) for name in names]
    return found


def _inside(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _NOTHING  # it has nothing yet


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _names(each)
