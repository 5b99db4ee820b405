"""Waiting for whichever is done first."""

from __future__ import annotations

import threading
from collections import deque
from typing import (
    TYPE_CHECKING,
    Any,
    Final,
    Generic,
    Literal,
    NamedTuple,
    TypeAlias,
    TypeVar,
    cast,
    overload,
)

from trio_dask.client.core import PENDING, EachDone, group
from trio_dask.client.finding import AnyFuture, futures_meant, of_one_kind
from trio_dask.client.futures import AsyncFuture, Future
from trio_dask.client.options import flag
from trio_dask.client.outcomes import Failed
from trio_dask.client.results import ELSEWHERE
from trio_dask.client.waits import TimeIsUp, seconds_of
from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import (
        AsyncIterator,
        Awaitable,
        Collection,
        Coroutine,
        Generator,
        Iterable,
        Iterator,
    )

    from trio_dask.client.waits import Bell, Waits

T = TypeVar("T")
F = TypeVar("F", bound="AnyFuture")
#: What an iterator gives: futures, or pairs of future and value.
Y = TypeVar("Y")
ReturnWhen: TypeAlias = Literal["ALL_COMPLETED", "FIRST_COMPLETED"]

#: An iterator that never has to wait lets other tasks run this often.
_STEPS_MAX: Final = 64


class DoneAndNotDone(NamedTuple):
    """What `wait` gives."""

    done: set[Any]
    not_done: set[Any]


class _Nothing(DoneAndNotDone):
    """What there is to wait for where there are no futures: at once, or awaited."""

    def __repr__(self) -> str:
        return repr(DoneAndNotDone(*self))

    def __await__(self) -> Generator[Any, Any, DoneAndNotDone]:
        yield from ()
        return self


@overload
def wait(
    fs: Future[Any] | Collection[Future[Any]],
    timeout: float | str | None = None,
    return_when: ReturnWhen = "ALL_COMPLETED",
) -> DoneAndNotDone: ...


@overload
def wait(
    fs: AsyncFuture[Any] | Collection[AsyncFuture[Any]],
    timeout: float | str | None = None,
    return_when: ReturnWhen = "ALL_COMPLETED",
) -> Awaitable[DoneAndNotDone]: ...


def wait(
    fs: Any, timeout: float | str | None = None, return_when: ReturnWhen = "ALL_COMPLETED"
) -> DoneAndNotDone | Awaitable[DoneAndNotDone]:
    """Wait until all futures in `fs`, or with ``FIRST_COMPLETED`` one of them, are done.

    With futures of an `AsyncClient` it is to be awaited.

    Raises:
        TimeoutError: they were not within `timeout` seconds.
        SchedulerUnreachable: the connection was lost before.
    """
    futures = futures_meant(fs)
    if return_when not in ("ALL_COMPLETED", "FIRST_COMPLETED"):
        msg = f"return_when={return_when!r}: it is 'ALL_COMPLETED' or 'FIRST_COMPLETED'"
        raise ValueError(msg)
    if not futures:
        return _Nothing(set(), set())
    waiting = _wait(futures, seconds_of(timeout), return_when)
    return waiting if isinstance(futures[0], AsyncFuture) else _blocking(futures[0], waiting)


async def _wait(
    futures: list[AnyFuture],
    timeout: float | None,  # noqa: ASYNC109 - as in Dask
    return_when: ReturnWhen,
) -> DoneAndNotDone:
    deadline = futures[0].client.live.waits.deadline(timeout)
    in_time = True
    try:
        if return_when == "ALL_COMPLETED":
            for client, own in _by_client(futures).items():
                groups = group((future._batch, future._tid) for future in own)  # noqa: SLF001
                await client.live.values.done(groups, deadline=deadline)
        else:
            await as_completed(futures)._wait(deadline)  # noqa: SLF001
    except TimeIsUp:
        in_time = False
    done = {future for future in futures if future.done()}
    not_done = {future for future in futures if future not in done}
    if not in_time and (not_done if return_when == "ALL_COMPLETED" else not done):
        msg = f"{len(not_done)} of {len(futures)} futures are not done after {timeout:g} s"
        raise TimeoutError(msg)
    return DoneAndNotDone(done, not_done)


def _blocking(future: Any, waiting: Coroutine[Any, Any, T]) -> T:
    value: T = future.client.run_blocking(waiting)
    return value


def _by_client(futures: list[AnyFuture]) -> dict[Any, list[AnyFuture]]:
    out: dict[Any, list[AnyFuture]] = {}
    for future in futures:
        out.setdefault(future.client, []).append(future)
    return out


class _Ringer:
    """What the core rings, for all who wait; it does not keep the iterator alive."""

    def __init__(self) -> None:
        self.bells: list[Bell] = []

    def ring(self) -> None:
        for bell in tuple(self.bells):
            bell.ring()


class _NoBatch(list[Any]):
    """A batch where nothing was ever added: at once, or awaited."""

    def __await__(self) -> Generator[Any, Any, list[Any]]:
        yield from ()
        return []


class _Batches:
    """`as_completed.batches`, for both kinds of futures: which, is known when it is used."""

    def __init__(self, steps: as_completed[Any]) -> None:
        self._steps = steps

    def __iter__(self) -> Iterator[list[Any]]:
        iter(self._steps)  # or an error that says what to write
        return self

    def __next__(self) -> list[Any]:
        batch: list[Any] = self._steps.next_batch()
        if not batch:
            raise StopIteration
        return batch

    def __aiter__(self) -> AsyncIterator[list[Any]]:
        aiter(self._steps)
        return self

    async def __anext__(self) -> list[Any]:
        batch: list[Any] = await self._steps.next_batch()
        if not batch:
            raise StopAsyncIteration
        return batch


class as_completed(Generic[Y]):  # noqa: N801 - the name Dask and concurrent.futures have
    """Futures in the order in which they are done, as an iterator.

    ``async for`` with those of an `AsyncClient`, ``for`` with those of a `Client`. More can
    be added while it runs; it ends when all that were added have come. With `with_results`
    it gives pairs of future and value; errors are raised there, or with
    ``raise_errors=False`` given in place of the value.

    Raises:
        TimeoutError: not all were done `timeout` seconds after the first step.
    """

    @overload
    def __init__(
        self: as_completed[F],
        futures: Iterable[F] = ...,
        *,
        with_results: Literal[False] = ...,
        raise_errors: bool = ...,
        timeout: float | str | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self: as_completed[tuple[Future[T], T]],
        futures: Iterable[Future[T]],
        *,
        with_results: Literal[True],
        raise_errors: Literal[True] = ...,
        timeout: float | str | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self: as_completed[tuple[AsyncFuture[T], T]],
        futures: Iterable[AsyncFuture[T]],
        *,
        with_results: Literal[True],
        raise_errors: Literal[True] = ...,
        timeout: float | str | None = ...,
    ) -> None: ...

    @overload
    def __init__(
        self: as_completed[Any],
        futures: Iterable[AnyFuture] = ...,
        *,
        with_results: bool = ...,
        raise_errors: bool = ...,
        timeout: float | str | None = ...,
    ) -> None: ...

    def __init__(
        self,
        futures: Iterable[AnyFuture] = (),
        *,
        with_results: bool = False,
        raise_errors: bool = True,
        timeout: float | str | None = None,
    ) -> None:
        self._with_results = flag("with_results", with_results, TypeError)
        self._errors = "raise" if flag("raise_errors", raise_errors, TypeError) else "return"
        self._timeout = seconds_of(timeout)
        self._deadline: float | None = None
        self._ringer = _Ringer()
        self._steps = 0
        self._lock = threading.RLock()
        self._first: AnyFuture | None = None  # of whose kind the others are
        self._clients: dict[Any, EachDone] = {}
        self._waiting: dict[int, list[AnyFuture]] = {}
        self._pending = 0
        self._ready: deque[AnyFuture] = deque()
        self.update(futures)

    def __del__(self) -> None:
        for client, watch in getattr(self, "_clients", {}).items():  # else it was never begun
            client.live.forget(watch)

    def __repr__(self) -> str:
        self._collect()
        return f"<as_completed: waiting={self._pending} done={len(self._ready)}>"

    def add(self, future: AnyFuture) -> None:
        """One more. A future that is added twice comes twice."""
        self.update([future])

    def update(self, futures: Iterable[AnyFuture]) -> None:
        """More futures."""
        new = list(futures)
        if not new:
            return
        if self._first is None:
            self._first = new[0]
        of_one_kind([self._first, *new])
        with self._lock:
            for client, own in _by_client(new).items():
                with client.live.lock:
                    self._update(client, own)
            ready = bool(self._ready)
        if ready:
            self._ringer.ring()

    def _update(self, client: Any, futures: list[AnyFuture]) -> None:
        waiting: list[AnyFuture] = []
        for future in futures:
            if future._code != PENDING:  # noqa: SLF001
                self._ready.append(future)
            else:
                known = self._waiting.setdefault(future._tid, [])  # noqa: SLF001
                if not known:
                    waiting.append(future)
                known.append(future)
                self._pending += 1
        if waiting:
            watch = self._clients.get(client)
            if watch is None:
                watch = self._clients[client] = EachDone(self._ringer.ring)
            client.live.core.watch(watch, group((each._batch, each._tid) for each in waiting))  # noqa: SLF001

    def count(self) -> int:
        """How many are still to come."""
        self._collect()
        return self._pending + len(self._ready)

    def is_empty(self) -> bool:
        """Whether none is still to come."""
        return not self.count()

    def has_ready(self) -> bool:
        """Whether one can be had at once."""
        self._collect()
        return bool(self._ready)

    def clear(self) -> None:
        """Forget all that were added. Who waits for the next one has come to the end."""
        with self._lock:
            self._waiting.clear()
            self._ready.clear()
            self._pending = 0
        self._ringer.ring()

    def __aiter__(self) -> AsyncIterator[Y]:
        self._check_kind(AsyncFuture, "for")
        return self

    async def __anext__(self) -> Y:
        found = await self._next()
        if found is None:
            raise StopAsyncIteration
        if type(found) is Failed:
            raise found.take()
        return cast("Y", found)

    def __iter__(self) -> Iterator[Y]:
        self._check_kind(Future, "async for")
        return self

    def __next__(self) -> Y:
        self._check_kind(Future, "async for")
        found = None if self._first is None else _blocking(self._first, self._next())
        if found is None:
            raise StopIteration
        if type(found) is Failed:
            raise found.take()
        return cast("Y", found)

    def next(self) -> Y:
        """The next one, as ``next(…)`` gives it."""
        return self.__next__()

    def _check_kind(self, kind: type, instead: str) -> None:
        if self._first is not None and not issubclass(type(self._first), kind):
            kind_of_client = type(self._first.client).__name__
            msg = f"these futures are of the kind that {kind_of_client} makes: use `{instead}`"
            raise TypeError(msg)

    async def _next(self) -> Any:
        """The next one, None at the end, or `Failed`."""
        future = None
        while future is None:
            if not await self._wait_in_time():
                return None
            with self._lock:  # another thread may have been faster
                future = self._ready.popleft() if self._ready else None
        if not self._with_results:
            return future
        results = future.client.live.values
        value = results.at_hand(future)
        if value is not ELSEWHERE:
            return future, value
        values = await results.many([future], self._errors)
        return values if isinstance(values, Failed) else (future, values[0])

    def next_batch(self, block: bool = True) -> Any:  # noqa: FBT001, FBT002 - as in Dask
        """All that are done and were not given yet, in a list.

        At least one, unless none is to come; with ``block=False`` it may be none. With futures
        of an `AsyncClient` it is to be awaited.
        """
        block = flag("block", block, TypeError)
        if self._first is None:
            return _NoBatch()
        batch = self._next_batch(block=block)
        if issubclass(type(self._first), Future):
            return _blocking(self._first, batch)
        return batch

    async def _next_batch(self, *, block: bool) -> list[Any]:
        if block:
            await self._wait_in_time()
        else:
            for client in self._clients:
                client.live.flush()
                await client.live.waits.checkpoint()
            self._collect()
        with self._lock:
            ready, self._ready = list(self._ready), deque()
        if not self._with_results:
            return ready
        pairs: list[Any] = []
        for client, own in _by_client(ready).items():
            values = await client.live.values.many(own, self._errors)
            if isinstance(values, Failed):
                raise values.take()
            pairs += zip(own, values, strict=True)
        return pairs

    def batches(self) -> Any:
        """The same in lists: each time, all that are done by then."""
        return _Batches(self)

    async def _wait_in_time(self) -> bool:
        if self._timeout is not None and self._deadline is None and self._first is not None:
            self._deadline = self._first.client.live.waits.deadline(self._timeout)
        try:
            return await self._wait(self._deadline)
        except TimeIsUp:
            msg = f"{self._pending} futures are not done after {self._timeout:g} s"
            raise TimeoutError(msg) from None

    async def _wait(self, deadline: float | None) -> bool:
        """Wait for one that is ready; false if none is to come."""
        if self._first is None:
            return False
        waits: Waits = self._first.client.live.waits
        self._collect()
        if self._ready or not self._pending:
            await self._yield(waits)
        while True:
            bell = waits.bell()
            self._ringer.bells.append(bell)  # first: who comes later rings it
            try:
                self._collect()
                if self._ready or not self._pending:
                    return bool(self._ready)
                for client in self._clients:
                    if client.live.core.ended:
                        raise SchedulerUnreachable(client.live.core.ended)
                for client in self._clients:
                    client.live.flush()
                await bell.wait(deadline)
            except TimeIsUp:
                self._collect()
                if not self._ready:
                    raise
            finally:
                self._ringer.bells.remove(bell)

    async def _yield(self, waits: Waits) -> None:
        """Let others run, not at each step: that would make each release a message of its own."""
        self._steps += 1
        if self._steps % _STEPS_MAX:
            await waits.peek()
        else:
            await waits.checkpoint()

    def _collect(self) -> None:
        with self._lock:
            waiting, ready = self._waiting, self._ready
            for watch in self._clients.values():
                tids = watch.tids
                while tids:
                    futures = waiting.pop(tids.popleft(), ())
                    ready.extend(futures)
                    self._pending -= len(futures)


def fire_and_forget(futures: Any) -> None:
    """Run these to their end at least once, even if nobody holds the futures any more.

    Takes a future, or futures in lists, tuples, sets and dicts.
    """
    for client, own in _by_client(futures_meant(futures)).items():
        client.keep(own)
