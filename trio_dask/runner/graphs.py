"""Tasks of dask's graphs, as they are called in a runner.

A task is a short program: calls, one after the other, whose arguments are constants, inputs
of the task, and what earlier calls have returned. What many tasks of a graph share is sent
once, and they name it by number: functions are in the kit of the `GraphCall` that runs them,
and large arguments are inputs.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, TypeAlias

from trio_dask.messages.unpickling import loads

if TYPE_CHECKING:
    from collections.abc import Callable

#: What to call (or its number in the kit), positional arguments, named ones, what to fill in
#: (where, and the number of the value, in turn), and numbers of values not needed after it.
Step: TypeAlias = (
    "tuple[int | Callable[..., Any], list[Any], dict[str, Any] | None, list[Any], list[int]]"
)


class _Present(threading.local):
    """What the numbers mean in the task that this thread is unpickling."""

    def __init__(self) -> None:
        self.kit: tuple[Any, ...] = ()
        self.inputs: tuple[Any, ...] = ()


_present = _Present()


def from_kit(number: int) -> Any:
    """What stands in constants for something of the kit."""
    return _present.kit[number]


def from_inputs(number: int) -> Any:
    """What stands in constants for an input."""
    return _present.inputs[number]


class GraphCall:
    """Runs tasks of graphs that share a kit."""

    __slots__ = ("__name__", "kit")

    def __init__(self, name: str, kit: tuple[Any, ...]) -> None:
        self.__name__ = name
        self.kit = kit

    def __reduce__(self) -> tuple[type[GraphCall], tuple[str, tuple[Any, ...]]]:
        return GraphCall, (self.__name__, self.kit)

    def __call__(self, program: bytes, *inputs: Any) -> Any:
        """Run a program; its first inputs are values before the first call."""
        count, steps = self._loaded(program, inputs)
        values = list(inputs[:count])
        del inputs
        kit = self.kit
        for call, args, kwargs, fills, drops in steps:
            places = iter(fills)
            for place in places:
                if type(place) is int:
                    args[place] = values[next(places)]
                else:
                    kwargs[place] = values[next(places)]
            for number in drops:
                values[number] = None
            function = kit[call] if type(call) is int else call
            values.append(function(*args, **kwargs) if kwargs else function(*args))
            args.clear()  # what it was given is not held while others run
        return values[-1]

    def _loaded(self, program: bytes, inputs: tuple[Any, ...]) -> tuple[int, list[Any]]:
        before = _present.kit, _present.inputs
        _present.kit, _present.inputs = self.kit, inputs
        try:
            loaded: tuple[int, list[Any]] = loads(program)
        finally:
            _present.kit, _present.inputs = before
        return loaded


def same(value: Any) -> Any:
    """What it is given."""
    return value


def as_list(*items: Any) -> list[Any]:
    """A list of its arguments."""
    return list(items)


def as_tuple(*items: Any) -> tuple[Any, ...]:
    """A tuple of its arguments."""
    return items


def as_set(*items: Any) -> set[Any]:
    """A set of its arguments."""
    return set(items)


def as_dict(*items: Any) -> dict[Any, Any]:
    """A dict of its arguments: keys and values in turn."""
    return dict(zip(items[::2], items[1::2], strict=True))


def run_node(node: Any, keys: tuple[Any, ...], *values: Any) -> Any:
    """Any node of a graph, by dask's own means."""
    return node(dict(zip(keys, values, strict=True)))
