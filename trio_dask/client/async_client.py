"""The client for async code, the same on Trio and on asyncio."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, overload

import anyio

from trio_dask.client import currents
from trio_dask.client.collections.computing import AsyncComputing
from trio_dask.client.entrance import Entrance, advised, client_name, own_cluster
from trio_dask.client.everywhere import AsyncEverywhere
from trio_dask.client.futures import AsyncFuture, BaseFuture
from trio_dask.client.live import Live
from trio_dask.client.loops import dial as dial_here
from trio_dask.client.managing import AsyncManaging
from trio_dask.client.outcomes import Failed
from trio_dask.client.reporting import AsyncReporting
from trio_dask.client.scattering import scatter
from trio_dask.client.scopes import AsyncScope
from trio_dask.client.submitting_async import AsyncSubmitting
from trio_dask.client.waits import LoopWaits, seconds_of
from trio_dask.config import load_config

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from types import TracebackType

    from rich.console import Console

    from trio_dask.client.base import BaseClient
    from trio_dask.client.session import Dial
    from trio_dask.comm import Security
    from trio_dask.config import Config
    from trio_dask.deploy import AsyncLocalCluster

T = TypeVar("T")
K = TypeVar("K")


class AsyncClient(AsyncSubmitting, AsyncManaging, AsyncComputing, AsyncEverywhere, AsyncReporting):
    """A connection to a cluster, open while its ``async with`` block lasts.

    Without an address it uses `scheduler_file`, or the configured one
    (``TRIO_DASK_SCHEDULER_ADDRESS``), or starts an `AsyncLocalCluster` of its own with
    `cluster_options`. Anything with a `scheduler_address` will do, too.

    ``submit`` and ``map`` pickle at once, never wait, and queue without bound; `flush`
    waits until the scheduler has everything.

    Args:
        timeout: how many seconds to try to reach the scheduler.
        config: settings, instead of those of the environment.
        name: what the scheduler calls this client in its log.
        security: certificates, where the address begins with ``tls://``.
    """

    asynchronous: ClassVar[bool] = True

    def __init__(  # noqa: PLR0913 - options have names
        self,
        address: object = None,
        *,
        scheduler_file: str | os.PathLike[str] | None = None,
        timeout: float | str | None = None,
        config: Config | None = None,
        name: str | None = None,
        security: Security | bool | None = None,
        set_as_default: bool = False,
        dial: Dial = dial_here,
        **cluster_options: Any,
    ) -> None:
        del set_as_default  # dask's own way of computing blocks
        config = load_config() if config is None else config
        limit_s = seconds_of(timeout)
        #: The cluster that this client starts and closes; None where it was given one.
        self.cluster: AsyncLocalCluster | None = own_cluster(
            address, scheduler_file, config, cluster_options, asynchronous=True,
            security=security,
        )  # fmt: skip
        if self.cluster is None:
            with advised():
                entrance = Entrance.find(
                    address, scheduler_file, config, limit_s, security=security
                )
        else:
            entrance = Entrance.unknown(config)
        self._settings = config, limit_s
        name = str(name or client_name())
        super().__init__(Live(entrance, self, dial, name=name, waits=LoopWaits(), on_loop=True))
        self._around: list[BaseClient | None] = []  # whose blocks ours are in

    async def __aenter__(self) -> Self:
        await self._begin()
        currents.opened(self)
        self._around.append(currents.enter(self))
        return self

    async def _begin(self) -> None:
        if self.cluster is None:
            with advised():
                await self.live.open()
            return
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.cluster)
            self.live.entrance = Entrance.find(self.cluster, None, *self._settings)
            await self.live.open()
            stack.pop_all()  # `__aexit__` closes it

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        currents.leave(self._around.pop() if self._around else None)
        currents.closed(self)
        try:
            await self._end_looking()  # noqa: ASYNC102 - bounded in there
            await self.live.leave()  # noqa: ASYNC102 - bounded in there
        finally:
            if self.cluster is not None:
                await self.cluster.close()  # noqa: ASYNC102 - bounded in there

    async def close(self) -> None:
        """Release everything and leave the cluster. Takes a few seconds at most, mostly none."""
        await self._end_looking()
        await self.live.close()
        if self.cluster is not None:
            await self.cluster.close()

    # ------------------------------------------------------------ work

    @overload
    async def call(
        self, fn: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **kwargs: Any
    ) -> T: ...

    @overload
    async def call(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...

    async def call(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run one call and wait for its value. Cancelling this cancels the task."""
        future = self.submit(fn, *args, **kwargs)
        try:
            return await future
        except anyio.get_cancelled_exc_class():
            self._cancel_now(future, "its caller was cancelled")
            raise
        finally:
            if not kwargs.get("actor"):  # which lives as long as what is given here
                future.release()
            self.live.flush_now()

    def follow(self, future: BaseFuture[Any], settle: Callable[[object], None]) -> None:
        """Call `settle` with the value of a task when it has ended, or with its error as `Failed`."""
        self.live.spawn(self._outcome, future, settle)

    def scope(
        self,
        *,
        timeout: float | str | None = None,
        on_error: Literal["cancel_all", "collect"] = "cancel_all",
    ) -> AsyncScope:
        """A block that owns the tasks it starts: leaving it waits until all have ended.

        An error in one of them stops the others, on whichever machine they run, and ends the
        block; so does an error or the cancellation of the block. With ``on_error="collect"`` all
        run to their end. What went wrong comes out as one `ExceptionGroup`. `timeout` is for
        all of it.

        ::

            async with client.scope(timeout=30) as scope:
                a, b = scope.submit(f, 1), scope.submit(g, 2)
                total = scope.submit(h, a, b)
            print(await total)
        """
        return AsyncScope(self, seconds_of(timeout), on_error)

    # ------------------------------------------------------------ values

    @overload
    async def gather(
        self,
        futures: AsyncFuture[T],
        errors: Literal["raise"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> T: ...

    @overload
    async def gather(
        self,
        futures: list[AsyncFuture[T]],
        errors: Literal["raise", "skip"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> list[T]: ...

    @overload
    async def gather(
        self,
        futures: set[AsyncFuture[T]],
        errors: Literal["raise", "skip"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> set[T]: ...

    @overload
    async def gather(
        self,
        futures: dict[K, AsyncFuture[T]],
        errors: Literal["raise", "skip"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> dict[K, T]: ...

    @overload
    async def gather(
        self,
        futures: Iterator[AsyncFuture[T]],
        errors: Literal["raise", "skip"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> list[T]: ...

    @overload
    async def gather(
        self,
        futures: Any,
        errors: Literal["raise", "skip", "return"] = ...,
        *,
        progress: bool | Console = ...,
    ) -> Any: ...

    async def gather(
        self,
        futures: Any,
        errors: Literal["raise", "skip", "return"] = "raise",
        *,
        progress: bool | Console = False,
    ) -> Any:
        """The values of futures in nested lists, tuples, sets and dicts, in the same shape.

        The first task that fails raises its error at once; with ``errors="skip"`` failed
        ones are left out, with ``"return"`` the errors are in the place of values. An
        iterator gives a list.

        With ``progress=True`` it shows how many tasks are done, and how many values have
        come, in bytes, too: bars on a terminal or in a notebook, a line every five seconds
        elsewhere. A value counts when all of it is here.

        Raises:
            SchedulerUnreachable: the connection was lost before.
            ValueError: some of them are another client's.
        """
        values = await self._gather(futures, errors, progress)
        if type(values) is Failed:
            raise values.take()
        return values

    # What is a list is also anything: of two that suit, the first one counts.
    @overload
    async def scatter(  # type: ignore[overload-overlap]
        self,
        data: list[T],
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,  # noqa: ASYNC109 - as in Dask
        progress: bool | Console = ...,
    ) -> list[AsyncFuture[T]]: ...

    @overload
    async def scatter(  # type: ignore[overload-overlap]
        self,
        data: tuple[T, ...],
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,  # noqa: ASYNC109 - as in Dask
        progress: bool | Console = ...,
    ) -> tuple[AsyncFuture[T], ...]: ...

    @overload
    async def scatter(  # type: ignore[overload-overlap]
        self,
        data: set[T],
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,  # noqa: ASYNC109 - as in Dask
        progress: bool | Console = ...,
    ) -> set[AsyncFuture[T]]: ...

    @overload
    async def scatter(  # type: ignore[overload-overlap]
        self,
        data: dict[K, T],
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,  # noqa: ASYNC109 - as in Dask
        progress: bool | Console = ...,
    ) -> dict[K, AsyncFuture[T]]: ...

    @overload
    async def scatter(
        self,
        data: T,
        *,
        workers: str | Iterable[str] | None = ...,
        broadcast: bool | int = ...,
        hash: bool = ...,
        timeout: float | str | None = ...,  # noqa: ASYNC109 - as in Dask
        progress: bool | Console = ...,
    ) -> AsyncFuture[T]: ...

    async def scatter(
        self,
        data: Any,
        *,
        workers: str | Iterable[str] | None = None,
        broadcast: bool | int = False,
        hash: bool = False,  # noqa: A002 - as in Dask
        timeout: float | str | None = None,  # noqa: ASYNC109 - as in Dask
        progress: bool | Console = False,
    ) -> Any:
        """Store values on workers, and return futures for them when they are there.

        A list, tuple, set or dict gives futures in the same shape; anything else, also a
        subclass of these, one future. ``broadcast=True`` puts a copy on each worker, a number
        on so many; they pass it on to one another, and it is waited for.

        `hash` is there for programs written for Dask, and can be False only: each value has a key
        of its own, whatever is in it.

        With ``progress=True`` it shows how many values are pickled, and how many are stored, in
        bytes, too, as `gather` does.

        Where no worker may have them, as none is there, or none that is named, it waits for one,
        `timeout` seconds at most, and for ever without; the log says so after a while.

        Raises:
            TimeoutError: there was none in time; nothing of it is stored.
            ValueError: an option makes no sense.
        """
        return await scatter(
            self, AsyncFuture, data, workers, broadcast=broadcast, by_content=hash,
            progress=progress, limit_s=seconds_of(timeout),
        )  # fmt: skip

    async def cancel(self, futures: Any, *, reason: str = "") -> None:
        """Stop tasks, and wait until all of these are over.

        What has not started will not; what runs is stopped as its `on_cancel` says, which takes
        two seconds at most unless it is ``"cooperate"``. A value or an error that came first
        counts. What other clients want goes on for them.
        """
        await self._cancel(futures, reason)

    async def retry(self, futures: Any) -> None:
        """Run failed tasks again, and what they failed over; what has not failed stays as it is.

        When this returns they are pending. Their `retries` count anew; a deadline does not.
        """
        await self._retry(futures)

    # ------------------------------------------------------------ questions

    async def flush(self) -> None:
        """Wait until the scheduler has everything that was submitted."""
        await self.live.ask("flush", {})

    async def scheduler_info(self, n_workers: int = -1) -> dict[str, Any]:
        """What the scheduler and its workers are, and how they are; of `n_workers` at most."""
        return await self._scheduler_info(n_workers)

    async def task_counts(self) -> dict[str, int]:
        """How many tasks are in which state, those of all clients together."""
        return await self.live.ask("counts", {})

    async def nthreads(self, workers: str | Iterable[str] | None = None) -> dict[str, int]:
        """The slots of each worker, or of these, by address."""
        return await self._nthreads(workers)

    async def who_has(self, futures: Any = None) -> dict[str, list[str]]:
        """The addresses of the workers that hold each value, by key.

        Without `futures` of all values that workers hold, those of other clients, too.
        """
        return await self._who_has(futures)

    async def wait_for_workers(
        self,
        n_workers: int,
        timeout: float | str | None = None,  # noqa: ASYNC109 - as in Dask
    ) -> None:
        """Wait until there are so many workers.

        Raises:
            TimeoutError: there were not within `timeout` seconds.
        """
        await self._wait_for_workers(n_workers, seconds_of(timeout))
