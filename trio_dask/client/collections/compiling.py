"""Nodes of graphs to programs: see `trio_dask.runner.graphs` for what runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from dask._task_spec import (
    Alias,
    DataNode,
    Dict,
    GraphNode,
    List,
    Set,
    Task,
    TaskRef,
    Tuple,
    _execute_subgraph,
)

from trio_dask.client.collections.locking import of_cluster, writes
from trio_dask.runner.graphs import as_dict, as_list, as_set, as_tuple, run_node, same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_CONTAINERS: Final[dict[type, Callable[..., Any]]] = {
    List: as_list,
    Tuple: as_tuple,
    Set: as_set,
    Dict: as_dict,
}


@dataclass(frozen=True, slots=True)
class Value:
    """An input, or what a call has returned, by number."""

    number: int


class Program:
    """The calls of one node.

    Args:
        keys: those of its inputs, in the order in which it gets them.
    """

    def __init__(self, keys: Sequence[Any]) -> None:
        self.count: Final = len(keys)
        #: What is called, positional and named arguments; `Value` stands for a value.
        self.calls: list[tuple[Callable[..., Any], list[Any], dict[str, Any]]] = []
        self._inputs: Final = {key: Value(number) for number, key in enumerate(keys)}

    def compile(self, node: GraphNode) -> None:
        """Add all that the node does; its value is that of the last call."""
        last = self._operand(node, self._inputs)
        if not self.calls or last != Value(self.count + len(self.calls) - 1):
            self._call(same, [last], {})

    def _call(self, fn: Callable[..., Any], args: list[Any], kwargs: dict[str, Any]) -> Value:
        self.calls.append((fn, args, kwargs))
        return Value(self.count + len(self.calls) - 1)

    def _operand(self, each: Any, known: Mapping[Any, Any]) -> Any:
        """What an argument is: a `Value`, or a constant."""
        if isinstance(each, TaskRef):
            return known[each.key]
        if not isinstance(each, GraphNode):
            return each
        if isinstance(each, Alias):
            return known[each.target]
        if isinstance(each, DataNode):
            return each.value
        return self._task(each, known)

    def _task(self, each: Any, known: Mapping[Any, Any]) -> Any:
        container = _CONTAINERS.get(type(each))
        if container is None and type(each) is not Task:
            keys = tuple(each.dependencies)
            return self._call(run_node, [each, keys, *(known[key] for key in keys)], {})
        args = [self._operand(item, known) for item in each.args]
        if container is not None:
            return self._call(container, args, {})
        if each.func is _execute_subgraph:
            return self._subgraph(args)
        kwargs = {name: self._operand(item, known) for name, item in each.kwargs.items()}
        if writes(each.func):
            args = [of_cluster(item) for item in args]
            kwargs = {name: of_cluster(item) for name, item in kwargs.items()}
        return self._call(each.func, args, kwargs)

    def _subgraph(self, args: list[Any]) -> Any:
        """The calls of fused nodes: those first that others need."""
        nodes, last, keys, *given = args
        known: dict[Any, Any] = dict(zip(keys, given, strict=True))
        stack = [last]
        while stack:
            key = stack[-1]
            needed = [each for each in nodes[key].dependencies if each not in known]
            if key in known or not needed:
                stack.pop()
                if key not in known:
                    known[key] = self._operand(nodes[key], known)
            else:
                stack += needed
        return known[last]

    def last_uses(self) -> list[list[int]]:
        """For each call, the values that no later one needs."""
        users: dict[int, int] = {}
        for row, (_, args, kwargs) in enumerate(self.calls):
            for each in (*args, *kwargs.values()):
                if type(each) is Value:
                    users[each.number] = row
        drops: list[list[int]] = [[] for _ in self.calls]
        for number, row in users.items():
            drops[row].append(number)
        return drops
