"""What clients do with dask's collections: `get`, `compute` and `persist`. For both, once each way."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from trio_dask.client.base import BaseClient
from trio_dask.client.core import RELEASED
from trio_dask.client.futures import AsyncFuture, BaseFuture, Future
from trio_dask.errors import SubmitError
from trio_dask.messages.ids import task_of_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from trio_dask.client.collections.known import KnownKey
    from trio_dask.client.core import Batch
    from trio_dask.messages.ids import TaskId

F = TypeVar("F", bound="BaseFuture[Any]")
T = TypeVar("T")

#: Containers of collections that `compute` and `persist` take.
_SEVERAL: Final = (list, tuple, set, frozenset)


class GraphFuture(Future[T]):
    """A task of a graph, of a `Client`. Its key is the one that dask knows it by."""

    __slots__ = ("_known",)

    def __init__(self, batch: Batch, tid: TaskId, known: KnownKey) -> None:
        super().__init__(batch, tid)
        self._known = known
        known.add(self)

    @property
    def key(self) -> Any:
        """The task's key in the graph."""
        return self._known.key

    def _graph_key(self) -> tuple[Any, ...]:
        return (self._known.key,)


class AsyncGraphFuture(AsyncFuture[T]):
    """A task of a graph, of an `AsyncClient`. Its key is the one that dask knows it by."""

    __slots__ = ("_known",)

    def __init__(self, batch: Batch, tid: TaskId, known: KnownKey) -> None:
        super().__init__(batch, tid)
        self._known = known
        known.add(self)

    @property
    def key(self) -> Any:
        """The task's key in the graph."""
        return self._known.key

    def _graph_key(self) -> tuple[Any, ...]:
        return (self._known.key,)


def submit_graph(
    client: BaseClient,
    make: Callable[[Batch, TaskId, KnownKey], F],
    dsk: Any,
    keys: Iterable[Any],
    *,
    options: Mapping[str, Any],
) -> dict[Any, F]:
    """Submit what these keys need. Their futures, by key."""
    from trio_dask.client.collections.graphs import concrete
    from trio_dask.client.collections.submitting import GraphSubmission

    client.live.check_open()
    if options.get("actors"):
        msg = (
            "graphs make no actors: make one with client.submit(Class, actor=True), and have the "
            "graph's functions take what its result() gives"
        )
        raise SubmitError(msg)
    wanted = list(dict.fromkeys(keys))
    graph = concrete(dsk, wanted)
    with client.live.lock:
        client.live.core.drop()  # a key that is let go is not what it was if it is used again
    there, held = client.graph_futures, _Held(client)
    known = {key: there.find(key) for key in graph.missing()}
    known |= {key: there.find(key) for key in wanted if not graph.has(key)}
    elsewhere = {
        key: future._tid if future is not None else held.find(key)  # noqa: SLF001
        for key, future in known.items()
    }
    submission = GraphSubmission(client, graph, elsewhere, wanted=wanted, options=options)
    if client.tracing is None:
        submission.run()
    else:
        with client.tracing.graph(len(graph.nodes)) as trace:
            submission.run(trace)
    futures: dict[Any, F] = {}
    for key in wanted:
        real = graph.meant.get(key, key)
        if real in submission.placed:
            futures[key] = make(*submission.placed[real], there.known(key))
        elif (future := known.get(key)) is not None:
            futures[key] = cast("F", future)
        else:
            msg = f"the graph has no {key!r:.200}"
            raise SubmitError(msg)
    return futures


class _Held:
    """The tasks that the client holds, by key: for what a graph knows by its key only."""

    def __init__(self, client: BaseClient) -> None:
        self._live = client.live
        self._named: dict[str, TaskId] | None = None

    def find(self, key: Any) -> TaskId:
        """The first of this key.

        Raises:
            SubmitError: there is none.
        """
        if isinstance(key, str):
            with self._live.lock:
                tid = self._find(key)
            if tid is not None:
                return tid
        msg = (
            f"the graph needs {key!r:.200}, which is not in it: a future that was released, "
            "or that belongs to another client"
        )
        raise SubmitError(msg)

    def _find(self, key: str) -> TaskId | None:
        table = self._live.core.table
        tid = task_of_key(key)
        batch = None if tid is None else table.find(tid)
        if tid is not None and batch is not None and batch.key(tid) == key:
            held = batch.status[tid - batch.first] != RELEASED
            if held:  # else there may be another one of this key
                return tid
        if self._named is None:  # once, as a data set may be of many thousands
            self._named = {}
            for batch in table.batches:
                for row, each in enumerate(batch.keys or ()):
                    if each and batch.status[row] != RELEASED:
                        self._named.setdefault(each, batch.first + row)
        return self._named.get(key)


def _as_expression(collections: list[Any], *, optimize_graph: bool, final: bool) -> Any:
    from dask._expr import FinalizeCompute
    from dask.base import collections_to_expr

    expr = collections_to_expr(collections, optimize_graph)
    final_expr: Any = FinalizeCompute(expr) if final else expr
    return final_expr.optimize()


def persisted(
    client: BaseClient,
    make: Callable[[Batch, TaskId, KnownKey], Any],
    collections: Any,
    options: dict[str, Any],
    *,
    optimize_graph: bool,
) -> Any:
    """The same collections, of futures; in a list if they were in a container."""
    from dask._expr import CompositeExpr, _ExprSequence
    from dask.base import _rebuild_composite_collection, is_dask_collection

    from trio_dask.client.collections.graphs import keys_in

    several = isinstance(collections, _SEVERAL)
    given = list(collections) if several else [collections]
    if not given:
        return []
    for each in given:
        if not is_dask_collection(each):
            msg = f"persist is for dask's collections, and {each!r:.100} is none"
            raise SubmitError(msg)
    expr = _as_expression(given, optimize_graph=optimize_graph, final=False)
    parts = list(expr.operands) if isinstance(expr, _ExprSequence) else []
    nested = [keys_in(keys) for keys in expr.__dask_keys__()]
    futures = submit_graph(
        client, make, expr, [key for keys in nested for key in keys], options=options
    )
    result = []
    for at, (each, keys) in enumerate(zip(given, nested, strict=True)):
        part = parts[at] if len(parts) == len(given) else None
        if isinstance(part, CompositeExpr):
            result.append(
                _rebuild_composite_collection(each, part, futures, cull_to_child_keys=True)
            )
            continue
        rebuild, state = each.__dask_postpersist__()
        result.append(rebuild({key: futures[key] for key in keys}, *state))
    return result if several else result[0]


def computed(
    client: BaseClient,
    make: Callable[[Batch, TaskId, KnownKey], F],
    collections: Any,
    options: dict[str, Any],
    *,
    optimize_graph: bool,
    traverse: bool,
) -> Any:
    """A future for the value of each collection, in a list if they were in a container."""
    from dask.base import is_dask_collection
    from dask.delayed import delayed

    from trio_dask.client.collections.graphs import keys_in

    several = isinstance(collections, _SEVERAL)
    given = list(collections) if several else [collections]
    if traverse:
        inside = (list, set, tuple, dict)
        given = [delayed(each) if isinstance(each, inside) else each for each in given]
    meant = [each for each in given if is_dask_collection(each)]
    made: list[Any] = []
    if meant:
        expr = _as_expression(meant, optimize_graph=optimize_graph, final=True)
        keys = keys_in(list(expr.__dask_keys__()))
        futures = submit_graph(client, make, expr, keys, options=options)
        made = [futures[key] for key in keys]
    values = iter(made)
    result = [next(values) if is_dask_collection(each) else each for each in given]
    return result if several else result[0]


class AsyncComputing(BaseClient):
    """The methods of the client that is awaited."""

    async def gather(self, futures: Any) -> Any:
        """The values of futures."""
        raise NotImplementedError

    async def get(self, dsk: Any, keys: Any, *, sync: bool = True, **options: Any) -> Any:
        """The values of some keys of a graph of dask's.

        Keys may be in nested lists; then the values are, too. With ``sync=False`` there are
        futures in the place of values. `options` are `workers`, `allow_other_workers`,
        `resources`, `priority`, `retries` and `executor`, for all of the graph.
        """
        futures: list[Any]
        futures, shape = _futures(self, AsyncGraphFuture, dsk, keys, options=options)
        if not sync:
            return shape
        try:
            return await self.gather(shape)
        finally:
            _release(self, futures)

    def compute(
        self,
        collections: Any,
        *,
        sync: bool = False,
        optimize_graph: bool = True,
        traverse: bool = True,
        **options: Any,
    ) -> Any:
        """Compute collections of dask's: a future for each, at once; with `sync`, its value, to be awaited.

        So ``await client.compute(x)`` is the value of one collection, and
        ``await client.compute([x, y], sync=True)`` a list of values. Collections in a list give a
        list; what is no collection stays as it is. With `traverse` those inside containers are
        found.
        """
        shape = computed(
            self, AsyncGraphFuture, collections, options,
            optimize_graph=optimize_graph, traverse=traverse,
        )  # fmt: skip
        return self.gather(shape) if sync else shape

    def persist(self, collections: Any, *, optimize_graph: bool = True, **options: Any) -> Any:
        """Compute collections of dask's, and leave their parts where they are made.

        The result is a collection of the same kind, or a list of such: it is there at once, and
        its parts are when they have been computed.
        """
        return persisted(
            self, AsyncGraphFuture, collections, options, optimize_graph=optimize_graph
        )


class Computing(BaseClient):
    """The methods of the client that blocks."""

    def gather(self, futures: Any) -> Any:
        """The values of futures."""
        raise NotImplementedError

    def get(self, dsk: Any, keys: Any, *, sync: bool = True, **options: Any) -> Any:
        """The values of some keys of a graph of dask's. It makes the client a scheduler for dask.

        Keys may be in nested lists; then the values are, too. With ``sync=False`` there are
        futures in the place of values. `options` are `workers`, `allow_other_workers`,
        `resources`, `priority`, `retries` and `executor`, for all of the graph.
        """
        inner = _of_task(self)
        if inner is not None:
            return inner.get(dsk, keys, sync=sync, **options)
        futures: list[Any]
        futures, shape = _futures(self, GraphFuture, dsk, keys, options=options)
        if not sync:
            return shape
        try:
            return self.gather(shape)
        finally:
            _release(self, futures)

    def compute(
        self,
        collections: Any,
        *,
        sync: bool = False,
        optimize_graph: bool = True,
        traverse: bool = True,
        **options: Any,
    ) -> Any:
        """Compute collections of dask's: a future for each; with `sync`, its value.

        Collections in a list give a list; what is no collection stays as it is. With
        `traverse` those inside containers are found.
        """
        inner = _of_task(self) or self
        shape = computed(
            inner, GraphFuture, collections, options,
            optimize_graph=optimize_graph, traverse=traverse,
        )  # fmt: skip
        return inner.gather(shape) if sync else shape

    def persist(self, collections: Any, *, optimize_graph: bool = True, **options: Any) -> Any:
        """Compute collections of dask's, and leave their parts where they are made.

        The result is a collection of the same kind, or a list of such: it is there at once, and
        its parts are when they have been computed.
        """
        inner = _of_task(self) or self
        return persisted(inner, GraphFuture, collections, options, optimize_graph=optimize_graph)


def _futures(
    client: BaseClient,
    make: Callable[[Batch, TaskId, KnownKey], F],
    dsk: Any,
    keys: Any,
    *,
    options: Mapping[str, Any],
) -> tuple[list[F], Any]:
    """The futures that a `get` has made, and those of its keys, in the shape of these."""
    from trio_dask.client.collections.graphs import keys_in

    first = client.live.core.table.next_tid
    futures = submit_graph(client, make, dsk, keys_in(keys), options=options)

    def before(future: F) -> bool:
        return future._tid < first  # noqa: SLF001

    # A key may be that of a future which somebody else holds.
    mine = [each for each in futures.values() if not before(each)]
    return mine, _filled(keys, futures)


def _filled(keys: Any, futures: Mapping[Any, F]) -> Any:
    """Not inside the other: a function that refers to itself would keep futures until it is collected."""
    if isinstance(keys, list):
        return [_filled(each, futures) for each in keys]
    return futures[keys]


def _release(client: BaseClient, futures: list[Any]) -> None:
    """Let go of these now, so that the next use of their keys is another task."""
    for future in futures:
        future.release()
    client.live.flush()


def _of_task(client: BaseClient) -> Any:
    """The client of the task that this thread runs, where tasks run in the client's process."""
    nests = sys.modules.get("trio_dask.runner.nests")
    if nests is None or nests.current() is None:
        return None
    from trio_dask.client.inside import of_task

    own = of_task()
    return None if own is client else own
