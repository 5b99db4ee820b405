"""Graphs made concrete: nodes in the order in which they should run, and what each is to have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import SubmitError

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Annotations that mean something to the scheduler, by what they may also be called.
_OPTIONS: Final = {
    "workers": "workers",
    "restrictions": "workers",
    "allow_other_workers": "allow_other_workers",
    "loose_restrictions": "allow_other_workers",
    "resources": "resources",
    "priority": "priority",
    "retries": "retries",
    "executor": "executor",
}
#: Whose tasks talk with dask.distributed's own workers: its shuffle from peer to peer.
_PEERS: Final = "distributed.shuffle."
#: What is meant when nothing is said.
DEFAULTS: Final[dict[str, Any]] = {
    "priority": 0,
    "retries": 0,
    "resources": None,
    "workers": None,
    "allow_other_workers": False,
    "timeout": None,
    "deadline": None,
    "on_cancel": "interrupt",
    "executor": None,
}


@dataclass(slots=True)
class Graph:
    """Nodes that depend on each other.

    Args:
        nodes: by key, in the order in which they should run: inputs come first.
        meant: for keys that are only another name, the key of the node, or of a future.
        annotations: for each option, what was chosen for some of the keys.
    """

    nodes: dict[Any, Any]
    meant: dict[Any, Any]
    annotations: dict[str, dict[Any, Any]] = field(default_factory=dict)

    def missing(self) -> list[Any]:
        """The keys that are neither nodes nor names of such, each once: somebody else's."""
        found: dict[Any, None] = {}
        nodes, meant = self.nodes, self.meant
        for node in nodes.values():
            for key in node.dependencies:
                if key not in nodes and meant.get(key, key) not in nodes:
                    found[meant.get(key, key)] = None
        found.update((key, None) for key in meant.values() if key not in nodes)
        return list(found)

    def has(self, key: Any) -> bool:
        """Whether this is a node, or another name of one."""
        return self.meant.get(key, key) in self.nodes

    def options(self, key: Any, common: Mapping[str, Any]) -> dict[str, Any]:
        """What a node is to have: annotations of its layer count more than what all have."""
        chosen = dict(common)
        for name, by_key in self.annotations.items():
            if key in by_key:
                chosen[name] = by_key[key]
        return chosen


def keys_in(keys: Any) -> list[Any]:
    """Keys in nested lists, one after the other."""
    if not isinstance(keys, list):
        return [keys]
    return [key for each in keys for key in keys_in(each)]


def concrete(dsk: Any, keys: Iterable[Any]) -> Graph:
    """What is to be run for these keys.

    Args:
        dsk: what dask's schedulers are given: an expression, a graph of layers, or a dict.
        keys: those whose values are wanted.

    Raises:
        SubmitError: it is none of these, does not have these keys, or is for dask.distributed only.
    """
    from dask._expr import Expr, HLGExpr, LLGExpr
    from dask._task_spec import GraphNode, convert_legacy_graph, cull
    from dask.highlevelgraph import HighLevelGraph
    from dask.order import order

    from trio_dask.client.collections.fusing import fused, may_be_fused

    wanted = list(keys)
    expr: Any = dsk
    if isinstance(dsk, HighLevelGraph):
        expr = HLGExpr(dsk)
    elif isinstance(dsk, Mapping):
        expr = LLGExpr(dict(dsk))
    elif not isinstance(dsk, Expr):
        msg = f"{dsk!r:.100} is no graph: {type(dsk).__name__}"
        raise SubmitError(msg)
    layers = dict(expr.__dask_graph__())
    plain = all(isinstance(node, GraphNode) for node in layers.values())
    nodes = layers if plain else convert_legacy_graph(layers)
    nodes = cull(nodes, wanted)
    if any(kind.__module__.startswith(_PEERS) for kind in set(map(type, nodes.values()))):
        msg = (
            "the graph shuffles by 'p2p', which only workers of dask.distributed can do: choose "
            "'tasks', as shuffle_method= or method=, or as `dataframe.shuffle.method` and "
            "`array.rechunk.method` of Dask's configuration"
        )
        raise SubmitError(msg)
    ranks = order(nodes)
    ordered = {key: nodes[key] for key in sorted(nodes, key=ranks.__getitem__)}
    meant = _aliases(ordered, set(wanted))
    annotations = _chosen(expr.__dask_annotations__())
    if not annotations and may_be_fused(expr):
        ordered, meant = fused(ordered, meant, {meant.get(key, key) for key in wanted})
    return Graph(ordered, meant, annotations)


def common_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """What all nodes are to have: of `dask.annotate` around the call, and of its arguments.

    What other schedulers of dask have, as ``num_workers=``, is left out.
    """
    from dask.base import get_annotations

    chosen: dict[str, Any] = {}
    for source in (get_annotations(), options):
        for name, value in source.items():
            option = _OPTIONS.get(name, name)
            if option in DEFAULTS and value is not None:
                chosen[option] = value
    return chosen


def plain(options: dict[str, Any]) -> dict[str, Any]:
    """Numbers as dask's annotations have them, as whole ones."""
    for name in ("priority", "retries"):
        number = options.get(name)
        if isinstance(number, float) and number.is_integer():
            options[name] = int(number)
    return options


def _chosen(annotations: Mapping[str, Mapping[Any, Any]]) -> dict[str, dict[Any, Any]]:
    found: dict[str, dict[Any, Any]] = {}
    for name, by_key in annotations.items():
        if name in _OPTIONS:
            found.setdefault(_OPTIONS[name], {}).update(by_key)
    return found


def _aliases(nodes: dict[Any, Any], wanted: set[Any]) -> dict[Any, Any]:
    """Takes nodes that are only names out of the graph; what they mean.

    A wanted name stays where something else has the same value and is wanted, too, as each
    future is a task of its own.
    """
    from dask._task_spec import Alias

    names = {key: node.target for key, node in nodes.items() if type(node) is Alias}
    meant: dict[Any, Any] = {}
    taken = {key for key in wanted if key not in names}
    for key in names:
        target, seen = key, {key}
        while (following := names.get(target, target)) != target:
            if following in seen:
                msg = f"{key!r:.100} is a name for itself in the graph"
                raise SubmitError(msg)
            seen.add(following)
            target = following
        if key in wanted:
            if target in taken or target not in nodes:
                continue  # a node of its own: it hands the value on
            taken.add(target)
        meant[key] = target
    for key in meant:
        del nodes[key]
    return meant
