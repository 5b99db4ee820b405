"""Rows of nodes, of which each is the only one that needs the one before it, as one task each."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import dask
from dask._expr import Expr, _ExprSequence
from dask._task_spec import Alias, Task, TaskRef, _execute_subgraph
from dask.optimization import default_fused_keys_renamer

if TYPE_CHECKING:
    from collections.abc import Mapping


def may_be_fused(expr: Any) -> bool:
    """Whether the collections are of a kind that fuses its steps itself, as dataframes do.

    Their `persist` and `optimize` fuse what is blockwise, while a plain `compute` leaves each step
    a task of its own: then each part is sealed, announced, and taken in again between the reading
    of it and the first step of its groupby. Arrays and bags come here fused; calls of `delayed`,
    and the nodes of low-level graphs, are tasks to those who write them.
    """
    if dask.config.get("optimization.fuse.active", None) is False:
        return False
    parts = list(expr.operands) if isinstance(expr, _ExprSequence) else [expr]
    return bool(parts) and all(type(part).fuse is not Expr.fuse for part in parts)


def fused(
    nodes: Mapping[Any, Any], meant: Mapping[Any, Any], wanted: set[Any]
) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Fewer nodes that do the same, and which keys are another name of one of these.

    Args:
        nodes: inputs before those who need them.
        meant: the key of the node, for keys that are only another name of one.
        wanted: keys whose values somebody else needs.
    """
    needs = {
        key: dict.fromkeys(meant.get(each, each) for each in node.dependencies)
        for key, node in nodes.items()
    }
    users: dict[Any, int] = {}
    for needed in needs.values():
        for key in needed:
            users[key] = users.get(key, 0) + 1
    rows: dict[Any, list[Any]] = {}  # by the last one of each
    for key in nodes:
        row: list[Any] = []
        if len(needs[key]) == 1:
            [before] = needs[key]
            alone = users[before] == 1 and before not in wanted
            if before in rows and alone and _may_be_amid(nodes[before]) and _is_plain(nodes[key]):
                row = rows.pop(before)
        row.append(key)
        rows[key] = row
    made: dict[Any, Any] = {}
    become: dict[Any, Any] = {}
    for last, row in rows.items():
        if len(row) == 1:
            made[last] = nodes[last]
            continue
        key = last if last in wanted else _name(row, nodes)
        made[key] = _as_one(key, {each: nodes[each] for each in row}, meant)
        become.update((each, None) for each in row[:-1])
        if key != last:
            become[last] = key
    # Names of what is amid a row are nobody's any more.
    names = {key: become.get(real, real) for key, real in meant.items()} | become
    return made, {key: real for key, real in names.items() if real is not None}


def _is_plain(node: Any) -> bool:
    return type(node) is not Alias


def _may_be_amid(node: Any) -> bool:
    """Not what is a name only, and no coroutine, which is awaited where a task returns it."""
    return _is_plain(node) and not inspect.iscoroutinefunction(getattr(node, "func", None))


def _name(row: list[Any], nodes: Mapping[Any, Any]) -> Any:
    """A key with the names of all of them, as dask makes one; that of the last if it cannot."""
    named = default_fused_keys_renamer(row)
    return row[-1] if named is None or named in nodes else named


def _as_one(key: Any, row: dict[Any, Any], meant: Mapping[Any, Any]) -> Any:
    """What does all of it, one after the other."""
    needed: dict[Any, None] = {}
    for each, node in row.items():
        inside = {name: meant[name] for name in node.dependencies if meant.get(name) in row}
        if inside:
            row[each] = node.substitute(inside)
        needed.update((name, None) for name in row[each].dependencies if name not in row)
    last = next(reversed(row))
    return Task(
        key, _execute_subgraph, row, last, tuple(needed), *(TaskRef(name) for name in needed)
    )
