"""Waiting for whichever is done first."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import anyio
import anyio.lowlevel

from trio_dask.client.core import PENDING, EachDone, group
from trio_dask.client.futures import AsyncFuture
from trio_dask.client.shapes import futures_in
from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable


#: An iterator that never has to wait lets other tasks run this often.
_STEPS_MAX: Final = 64


class DoneAndNotDone(NamedTuple):
    """What `wait` gives."""

    done: set[AsyncFuture[Any]]
    not_done: set[AsyncFuture[Any]]


async def wait(
    fs: Any,
    timeout: float | None = None,  # noqa: ASYNC109 - as in Dask
    return_when: Literal["ALL_COMPLETED", "FIRST_COMPLETED"] = "ALL_COMPLETED",
) -> DoneAndNotDone:
    """Wait until all futures in `fs`, or with ``FIRST_COMPLETED`` one of them, are done.

    Raises:
        TimeoutError: they were not within `timeout` seconds.
        SchedulerUnreachable: the connection was lost before.
    """
    futures = _futures(fs)
    if return_when not in ("ALL_COMPLETED", "FIRST_COMPLETED"):
        msg = f"return_when={return_when!r}: it is 'ALL_COMPLETED' or 'FIRST_COMPLETED'"
        raise ValueError(msg)
    with anyio.move_on_after(timeout) as scope:
        if return_when == "ALL_COMPLETED":
            for client, own in _by_client(futures).items():
                groups = group((future._batch, future._tid) for future in own)  # noqa: SLF001
                await client.live.values.done(groups)
        elif futures:
            await anext(aiter(as_completed(futures)))
    done = {future for future in futures if future.done()}
    not_done = {future for future in futures if future not in done}
    if scope.cancelled_caught and (not_done if return_when == "ALL_COMPLETED" else not done):
        msg = f"{len(not_done)} of {len(futures)} futures are not done after {timeout:g} s"
        raise TimeoutError(msg)
    return DoneAndNotDone(done, not_done)


def _futures(shape: Any) -> list[AsyncFuture[Any]]:
    found: list[Any] = []
    futures_in(shape if isinstance(shape, list | tuple | set | dict) else _listed(shape), found)
    for future in found:
        if not isinstance(future, AsyncFuture):
            msg = f"{future!r} is no future of an AsyncClient"
            raise TypeError(msg)
    return found


def _listed(shape: Any) -> list[Any]:
    return [shape] if isinstance(shape, AsyncFuture) else list(shape)


def _by_client(futures: list[AsyncFuture[Any]]) -> dict[Any, list[AsyncFuture[Any]]]:
    out: dict[Any, list[AsyncFuture[Any]]] = {}
    for future in futures:
        out.setdefault(future.client, []).append(future)
    return out


class _Bell:
    """What the core rings; it does not keep the iterator alive."""

    event: anyio.Event | None = None

    def ring(self) -> None:
        if self.event is not None:
            self.event.set()


class as_completed:  # noqa: N801 - the name Dask and concurrent.futures have
    """Futures in the order in which they are done, as an asynchronous iterator.

    More can be added while it runs; it ends when all that were added have come. With
    `with_results` it gives pairs of future and value; errors are raised there, or with
    ``raise_errors=False`` given in place of the value.

    Raises:
        TimeoutError: not all were done `timeout` seconds after the first step.
    """

    def __init__(
        self,
        futures: Iterable[AsyncFuture[Any]] = (),
        *,
        with_results: bool = False,
        raise_errors: bool = True,
        timeout: float | None = None,
    ) -> None:
        self._with_results = with_results
        self._errors = "raise" if raise_errors else "return"
        self._timeout = timeout
        self._deadline: float | None = None
        self._bell = _Bell()
        self._steps = 0
        self._clients: dict[Any, EachDone] = {}
        self._waiting: dict[int, list[AsyncFuture[Any]]] = {}
        self._pending = 0
        self._ready: deque[AsyncFuture[Any]] = deque()
        self.update(futures)

    def __del__(self) -> None:
        for client, watch in self._clients.items():
            client.live.forget(watch)

    def add(self, future: AsyncFuture[Any]) -> None:
        """One more. A future that is added twice comes twice."""
        self.update([future])

    def update(self, futures: Iterable[AsyncFuture[Any]]) -> None:
        """More futures."""
        for client, own in _by_client(_checked(futures)).items():
            waiting: list[AsyncFuture[Any]] = []
            for future in own:
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
                    watch = self._clients[client] = EachDone(self._bell.ring)
                client.live.core.watch(watch, group((each._batch, each._tid) for each in waiting))  # noqa: SLF001
        if self._ready:
            self._bell.ring()

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
        """Forget all that were added."""
        self._waiting.clear()
        self._ready.clear()
        self._pending = 0

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if not await self._wait():
            raise StopAsyncIteration
        future = self._ready.popleft()
        if not self._with_results:
            return future
        [value] = await future.client.live.values.many([future], self._errors)
        return future, value

    async def next_batch(self) -> list[Any]:
        """All that are done and have not been given yet; at least one, unless none is to come."""
        await self._wait()
        ready, self._ready = list(self._ready), deque()
        if not self._with_results:
            return ready
        return [
            (future, value)
            for client, own in _by_client(ready).items()
            for future, value in zip(
                own, await client.live.values.many(own, self._errors), strict=True
            )
        ]

    async def batches(self) -> AsyncIterator[list[Any]]:
        """The same in lists: each time, all that are done by then."""
        while batch := await self.next_batch():
            yield batch

    async def _wait(self) -> bool:
        """Wait for one that is ready; false if none is to come."""
        if self._timeout is not None and self._deadline is None:
            self._deadline = anyio.current_time() + self._timeout
        self._collect()
        if self._ready or not self._pending:
            await self._yield()
        while not self._ready and self._pending:
            for client in self._clients:
                if client.live.core.ended:
                    raise SchedulerUnreachable(client.live.core.ended)
            event = self._bell.event = anyio.Event()
            for client in self._clients:
                client.live.flush_now()
            with anyio.move_on_after(self._seconds_left()) as scope:
                await event.wait()
            self._collect()
            if scope.cancelled_caught and not self._ready:
                msg = f"{self._pending} futures are not done after {self._timeout:g} s"
                raise TimeoutError(msg)
        return bool(self._ready)

    async def _yield(self) -> None:
        """Let others run, not at each step: that would make each release a message of its own."""
        self._steps += 1
        if self._steps % _STEPS_MAX:
            await anyio.lowlevel.checkpoint_if_cancelled()
        else:
            await anyio.lowlevel.checkpoint()

    def _seconds_left(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - anyio.current_time())

    def _collect(self) -> None:
        waiting, ready = self._waiting, self._ready
        for watch in self._clients.values():
            tids = watch.tids
            while tids:
                futures = waiting.pop(tids.popleft(), ())
                ready.extend(futures)
                self._pending -= len(futures)


def _checked(futures: Iterable[AsyncFuture[Any]]) -> list[AsyncFuture[Any]]:
    out: list[Any] = list(futures)
    for future in out:
        if not isinstance(future, AsyncFuture):
            msg = f"as_completed takes futures, not {type(future).__name__}"
            raise TypeError(msg)
    return out


def fire_and_forget(futures: Any) -> None:
    """Run these to their end at least once, even if nobody holds the futures any more.

    Takes a future, or futures in lists, tuples, sets and dicts.
    """
    for client, own in _by_client(_futures(futures)).items():
        client.keep(own)
