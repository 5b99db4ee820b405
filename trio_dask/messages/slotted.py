"""Classes of messages: dataclasses with slots, whose functions are made with the first message.

A process starts with a hundred of them, and says a few before it is there: made at once, they
would be a fifth of what it takes to start.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, Final

#: What the classes with slots were made of, until they are dataclasses.
_made_of: Final[dict[type, dict[str, Any]]] = {}


class _Fields:
    """Looked up in a class, it makes a dataclass of that."""

    def __get__(self, _instance: object, owner: type) -> Any:
        _complete(owner)
        found = owner.__dict__.get("__dataclass_fields__", self)
        if found is self:
            raise AttributeError("__dataclass_fields__")  # a base is none
        return found


class Slotted:
    """The base of such classes."""

    __slots__ = ()
    __dataclass_fields__: Any = _Fields()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Only ever called for the first object of a class: then the class has one of its own.
        _complete(type(self))
        type(self).__init__(self, *args, **kwargs)


def slotted(cls: type) -> type:
    """As ``dataclass(slots=True, eq=False, repr=False)`` would have it; `cls` itself is used up."""
    annotated = inspect.get_annotations(cls)
    names = tuple(name for name, hint in annotated.items() if not str(hint).startswith("ClassVar"))
    all_of_it = dict(cls.__dict__)
    for name in ("__dict__", "__weakref__"):
        all_of_it.pop(name, None)
    own = {name: value for name, value in all_of_it.items() if name not in names}
    own |= {"__slots__": names, "__match_args__": names, "__qualname__": cls.__qualname__}
    made = type(cls)(cls.__name__, cls.__bases__, own)
    _made_of[made] = all_of_it
    return made


def _complete(made: type) -> None:
    """Give it what a dataclass has. Threads that do so at once do the same."""
    all_of_it = _made_of.get(made)
    if all_of_it is None:
        return
    plain = type(made)(made.__name__, made.__bases__, dict(all_of_it))
    done: Any = dataclass(eq=False, repr=False, match_args=False)(plain)
    whole: Any = made
    whole.__dataclass_fields__ = done.__dataclass_fields__
    whole.__dataclass_params__ = done.__dataclass_params__
    whole.__init__ = done.__init__
    _made_of.pop(made, None)
