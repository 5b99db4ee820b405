"""Graphs on their way to the scheduler: in slices, so that it begins while more is packed."""

from __future__ import annotations

import hashlib
import pickle
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, cast

from trio_dask.client.collections.graphs import DEFAULTS, common_options, plain
from trio_dask.client.collections.packing import Packer
from trio_dask.client.core import Rows
from trio_dask.client.describing import NAME_MAX
from trio_dask.client.keys import KEY_MAX
from trio_dask.client.options import run_by, task_options
from trio_dask.errors import SubmitError
from trio_dask.messages.foreign import by_value
from trio_dask.messages.payload import input_value, pack

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from trio_dask.client.base import BaseClient
    from trio_dask.client.collections.graphs import Graph
    from trio_dask.client.collections.packing import Kit
    from trio_dask.client.core import Batch, Function
    from trio_dask.messages import Payload
    from trio_dask.messages.ids import TaskId

_PROTOCOL: Final = 5
#: Nodes that are packed before they are sent: few at first, as workers wait.
_FIRST_SLICE: Final = 100
_SLICE: Final = 1000


class _Given:
    """Stands in a task's arguments for an input."""

    __slots__ = ("_tid",)

    def __init__(self, tid: TaskId) -> None:
        self._tid = tid

    def __reduce__(self) -> Any:
        return input_value, (self._tid,)


class GraphSubmission:
    """One graph, submitted by one client.

    Args:
        elsewhere: ids of tasks that the graph refers to without having them, by key.
        wanted: the keys whose tasks the client is to hold.
    """

    def __init__(
        self,
        client: BaseClient,
        graph: Graph,
        elsewhere: Mapping[Any, TaskId],
        *,
        wanted: Iterable[Any],
        options: Mapping[str, Any],
    ) -> None:
        from dask.utils import key_split

        self._prefix = key_split
        self._client = client
        self._live, self._core = client.live, client.live.core
        self._describer = client.describer
        self._graph = graph
        self._tids: dict[Any, TaskId] = dict(elsewhere)
        self._wanted = {graph.meant.get(key, key) for key in wanted}
        self._common = common_options(options)
        self._known_options: dict[Any, dict[str, Any]] = {}
        self._traced: dict[str, str] = {}
        self._limit = client.live.entrance.argument_bytes_max
        self._packer = Packer(self._share, self._limit)
        self._functions: list[Function] = []
        self._stored: list[TaskId] = []
        self._users = self._count_users()
        self._keys: set[str] = set()
        #: Where the tasks are, by key.
        self.placed: dict[Any, tuple[Batch, TaskId]] = {}

    def _count_users(self) -> dict[Any, int]:
        """How many nodes that are not submitted yet need each node."""
        users = dict.fromkeys(self._graph.nodes, 0)
        meant = self._graph.meant
        for node in self._graph.nodes.values():
            for key in node.dependencies:
                real = meant.get(key, key)
                if real in users:
                    users[real] += 1
        return users

    def run(self, trace: str = "") -> None:
        """Submit all of it; the spans of its tasks, if there are any, are children of `trace`.

        Raises:
            SubmitError: something cannot be pickled, or an annotation makes no sense; what was
                submitted before is taken back.
        """
        self._traced = {"trace": trace} if trace else {}
        nodes = list(self._graph.nodes)
        start, size = 0, _FIRST_SLICE
        try:
            with by_value():
                while start < len(nodes):
                    self._slice(nodes[start : start + size])
                    start, size = start + size, _SLICE
        except BaseException:
            with self._live.lock:
                self._core.release([tid for _, tid in self.placed.values()])
            raise
        finally:
            with self._live.lock:
                for function in self._functions:
                    self._core.unuse(function)
                self._core.let_go(self._stored)
            self._live.soon()

    def _slice(self, keys: list[Any]) -> None:
        """Pack these nodes, which runs users' code, and then submit them, which does not."""
        packed = [self._pack(key) for key in keys]
        for each in packed:
            if each.kit.function is None:
                each.kit.function = self._describer.kits.function(each.kit.call())
                self._functions.append(each.kit.function)
        with self._live.lock:
            first = self._core.table.next_tid
            self._tids.update(zip(keys, range(first, first + len(keys)), strict=True))
            for options, members in groupby(packed, attrgetter("options")):
                self._submit(list(members), options)
            self._let_go(packed)
        self._live.soon()

    def _pack(self, key: Any) -> _Packed:
        node = self._graph.nodes[key]
        inputs = tuple(node.dependencies)
        kit, spec, extra = self._packer.pack(self._prefix(key)[:NAME_MAX], node, inputs)
        large = self._store(pack(spec)) if len(spec) > self._limit else None
        return _Packed(key, kit, spec, large, inputs, extra, self._options(key))

    def _submit(self, members: list[_Packed], options: dict[str, Any]) -> None:
        rows = Rows(keys=[self._text(each.key) for each in members])
        for each in members:
            tids = [self._tid(key) for key in each.inputs] + each.extra
            spec: Any = each.spec if each.large is None else _Given(each.large)
            rows.args.append(pickle.dumps(((spec, *map(_Given, tids)), {}), _PROTOCOL))
            needed = dict.fromkeys(tids)
            if each.large is not None:
                needed[each.large] = None
            rows.dep_counts.append(len(needed))
            rows.dep_tids += needed
        functions = [cast("Function", each.kit.function) for each in members]
        batch, first = self._core.submit_each(functions, rows, self._live.within(options))
        self.placed.update((each.key, (batch, first + row)) for row, each in enumerate(members))

    def _let_go(self, packed: list[_Packed]) -> None:
        """Release what no other node needs any more, and nobody wants."""
        meant, users = self._graph.meant, self._users
        done = [each.key for each in packed if not users[each.key]]
        for each in packed:
            for key in each.inputs:
                real = meant.get(key, key)
                if real in users:
                    users[real] -= 1
                    if not users[real]:
                        done.append(real)
        tids = [self.placed.pop(key)[1] for key in done if key not in self._wanted]
        if tids:
            self._core.release(tids)

    def _tid(self, key: Any) -> TaskId:
        return self._tids[self._graph.meant.get(key, key)]

    def _text(self, key: Any) -> str:
        """A node's key in the cluster: equal keys are one task there."""
        text = key if isinstance(key, str) else repr(key)
        if not isinstance(key, str | tuple):
            text = f"{type(key).__name__} {text}"
        if len(text) > KEY_MAX or not text:
            text = f"{text[:NAME_MAX]}-{hashlib.sha256(text.encode()).hexdigest()}"
        while text in self._keys:  # a string that looks like the text of something else
            text += "'"
        self._keys.add(text)
        return text

    # ------------------------------------------------------------ what nodes share

    def _share(self, thing: Any) -> TaskId:
        return self._store(self._describer.value(thing))

    def _store(self, payload: Payload) -> TaskId:
        with self._live.lock:
            [(_, tid)] = self._core.put([payload])
        self._stored.append(tid)
        return tid

    def _options(self, key: Any) -> dict[str, Any]:
        chosen = self._graph.options(key, self._common)
        chosen = {name: v(key) if callable(v) else v for name, v in chosen.items()}
        token = repr(sorted(chosen.items())) if chosen else ""
        made = self._known_options.get(token)
        if made is None:
            made = _made(DEFAULTS | plain(chosen)) | self._traced
            self._known_options[token] = made
        return made


@dataclass(slots=True)
class _Packed:
    """A node, ready to be submitted."""

    key: Any
    kit: Kit
    spec: bytes
    large: TaskId | None
    inputs: tuple[Any, ...]
    extra: list[TaskId]
    options: dict[str, Any]


def _made(chosen: dict[str, Any]) -> dict[str, Any]:
    """The options of nodes as they are sent.

    Raises:
        SubmitError: one makes no sense, or not for nodes of a graph.
    """
    executor = chosen.pop("executor")
    if executor == "asyncio":
        msg = (
            "executor='asyncio' is for coroutine functions; for graphs it is 'process', or left out"
        )
        raise SubmitError(msg)
    return task_options(**chosen) | run_by(executor)
