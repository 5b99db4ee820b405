"""The client for async code, the same on Trio and on asyncio."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeVar

import anyio

from trio_dask.client.core import AllDone, Function, Rows, group
from trio_dask.client.describing import Describer, pure_keys
from trio_dask.client.entrance import Entrance, client_name
from trio_dask.client.futures import AsyncFuture
from trio_dask.client.live import Live
from trio_dask.client.options import refuse_reserved, task_options, worker_names
from trio_dask.client.shapes import futures_in, refill
from trio_dask.comm import connect_anyio
from trio_dask.errors import SubmitError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from types import TracebackType

    from trio_dask.client.session import Dial
    from trio_dask.config import Config

T = TypeVar("T")

logger = logging.getLogger("trio_dask.client")


class AsyncClient:
    """A connection to a cluster, open while its ``async with`` block lasts.

    Without an address it uses `scheduler_file`, or the configured one
    (``TRIO_DASK_SCHEDULER_ADDRESS``). Anything with a `scheduler_address` will do, too.

    ``submit`` and ``map`` pickle at once, never wait, and queue without bound; `flush`
    waits until the scheduler has everything.

    Args:
        timeout: how many seconds to try to reach the scheduler.
        config: settings, instead of those of the environment.
        name: what the scheduler calls this client in its log.
    """

    asynchronous: ClassVar[bool] = True

    def __init__(
        self,
        address: object = None,
        *,
        scheduler_file: str | None = None,
        timeout: float | None = None,
        config: Config | None = None,
        name: str | None = None,
        dial: Dial = connect_anyio,
    ) -> None:
        entrance = Entrance.find(address, scheduler_file, config)
        if timeout is not None:
            entrance = replace(entrance, connect_timeout_s=timeout)
        #: What the client is made of; futures use it.
        self.live: Final = Live(entrance, name or client_name(), self, dial)
        self._core: Final = self.live.core
        self._values: Final = self.live.values
        self._describer = Describer(self._core, self, entrance.argument_bytes_max)

    def __repr__(self) -> str:
        count = len(self._core.table)
        return f"<AsyncClient: {self.scheduler_address!r}, {self.live.state}, {count} futures>"

    @property
    def scheduler_address(self) -> str:
        """Where the scheduler is."""
        return self.live.entrance.address

    async def __aenter__(self) -> Self:
        await self.live.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.live.leave()  # noqa: ASYNC102 - bounded in there

    async def close(self) -> None:
        """Release everything and leave the cluster. Takes a few seconds at most, mostly none."""
        await self.live.close()

    # ------------------------------------------------------------ work

    def submit(  # noqa: PLR0913 - options have names
        self,
        fn: Callable[..., Coroutine[Any, Any, T]] | Callable[..., T],
        /,
        *args: Any,
        key: str | None = None,
        pure: bool = False,
        priority: int = 0,
        retries: int = 0,
        resources: Mapping[str, float] | None = None,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool = False,
        **kwargs: Any,
    ) -> AsyncFuture[T]:
        """Run ``fn(*args, **kwargs)`` on the cluster.

        Futures anywhere in the arguments stand for their values. With `pure`, or with one
        `key`, the same call is made once for all who ask for it; see `pure_keys` for what
        the same call is.

        Raises:
            SubmitError: it is no function, or cannot be pickled, or an option makes no sense.
            SchedulerUnreachable: the connection is lost.
        """
        self.live.check_open()
        options = task_options(
            priority=priority,
            retries=retries,
            resources=resources,
            workers=workers,
            allow_other_workers=allow_other_workers,
        )
        refuse_reserved(kwargs)
        function, rows = self._describer.call(fn, args, kwargs)
        if key is not None:
            rows.keys = [_checked_key(key)]
        elif pure:
            rows.keys = pure_keys(function, rows)
        return self._submit(function, rows, options)[0]

    def map(  # noqa: PLR0913
        self,
        fn: Callable[..., Coroutine[Any, Any, T]] | Callable[..., T],
        /,
        *iterables: Iterable[Any],
        key: str | list[str] | None = None,
        pure: bool = False,
        priority: int = 0,
        retries: int = 0,
        resources: Mapping[str, float] | None = None,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool = False,
        **kwargs: Any,
    ) -> list[AsyncFuture[T]]:
        """Run `fn` for each row of the iterables, as `zip` pairs them: to the shortest.

        `key` is a prefix for all keys, or a list of them. Everything else is as for `submit`.
        """
        self.live.check_open()
        if not iterables:
            msg = "map needs at least one iterable; for a single call there is submit"
            raise SubmitError(msg)
        options = task_options(
            priority=priority,
            retries=retries,
            resources=resources,
            workers=workers,
            allow_other_workers=allow_other_workers,
        )
        refuse_reserved(kwargs)
        function, rows = self._describer.calls(fn, iterables, kwargs)
        if not rows.args:
            return []
        if key is not None:
            rows.keys = _many_keys(key, len(rows.args))
        elif pure:
            rows.keys = pure_keys(function, rows)
        return self._submit(function, rows, options)

    def _submit(
        self, function: Function, rows: Rows, options: dict[str, Any]
    ) -> list[AsyncFuture[Any]]:
        batch, first = self._core.submit(function, rows, options)
        self.live.soon()
        return [AsyncFuture(batch, tid) for tid in range(first, first + len(rows.args))]

    async def call(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run one call and wait for its value. Cancelling this cancels the task."""
        future = self.submit(fn, *args, **kwargs)
        try:
            return await future
        except anyio.get_cancelled_exc_class():
            if not self._core.ended:
                self._core.cancel([future._tid], "its caller was cancelled")  # noqa: SLF001
            raise
        finally:
            future.release()
            self.live.flush_now()

    # ------------------------------------------------------------ values

    async def gather(
        self, futures: Any, errors: Literal["raise", "skip", "return"] = "raise"
    ) -> Any:
        """The values of futures in nested lists, tuples, sets and dicts, in the same shape.

        The first task that fails raises its error at once; with ``errors="skip"`` failed
        ones are left out, with ``"return"`` the errors are in the place of values. An
        iterator gives a list.
        """
        if errors not in ("raise", "skip", "return"):
            msg = f"errors={errors!r}: it is 'raise', 'skip' or 'return'"
            raise ValueError(msg)
        if not isinstance(futures, list | tuple | set | frozenset | dict | AsyncFuture):
            futures = list(futures)
        plain = type(futures) is list and set(map(type, futures)) <= {AsyncFuture}
        found: list[AsyncFuture[Any]] = futures if plain else []
        if not plain:
            futures_in(futures, found)
        self._check_own(found)
        values = await self._values.many(found, errors)
        if plain and errors != "skip":
            return values
        return refill(futures, iter(values))

    async def scatter(
        self,
        data: Any,
        *,
        workers: str | Iterable[str] | None = None,
        broadcast: bool = False,
    ) -> Any:
        """Store values on workers, and return futures for them when they are there.

        A list, tuple, set or dict gives futures in the same shape; anything else, also a
        subclass of these, one future. `broadcast` puts a copy on each worker.
        """
        self.live.check_open()
        names = [] if workers is None else worker_names(workers)
        kind = type(data)
        whole = kind not in (list, tuple, set, frozenset, dict)
        items = [data] if whole else list(data.values() if kind is dict else data)
        payloads = [self._describer.value(item) for item in items]
        placed = self._core.put(
            payloads, [type(item).__name__ for item in items], workers=names, broadcast=broadcast
        )
        futures: list[AsyncFuture[Any]] = [AsyncFuture(batch, tid) for batch, tid in placed]
        del items, payloads
        await self._values.done(group(placed))
        if whole:
            return futures[0]
        if kind is dict:
            return dict(zip(data, futures, strict=True))
        return kind(futures)

    async def cancel(self, futures: Any, *, reason: str = "") -> None:
        """Stop tasks that have not started, for everyone, and wait until all of these are over.

        What has started ends by itself; its outcome is then a value or an error.
        """
        found: list[AsyncFuture[Any]] = []
        futures_in(futures, found)
        self._check_own(found)
        tasks = [(future._batch, future._tid) for future in found if not future.done()]  # noqa: SLF001
        if tasks:
            self.live.check_open()
            self._core.cancel([tid for _, tid in tasks], reason)
        await self._values.done(group(tasks))

    def keep(self, futures: list[AsyncFuture[Any]]) -> None:
        """Run these to their end whatever becomes of their futures. See `fire_and_forget`."""
        self.live.check_open()
        self.live.must_arrive = True
        self._core.keep([future._tid for future in futures])  # noqa: SLF001
        self.live.soon()

    def call_when_done(
        self, future: AsyncFuture[T], callback: Callable[[AsyncFuture[T]], object]
    ) -> None:
        """Call `callback` on the loop when the future is done."""
        self.live.check_open()

        def done() -> None:
            try:
                callback(future)
            except Exception:
                logger.exception("the callback %r of %r failed", callback, future)
            self._core.unwatch(watch)

        watch = AllDone(1, done)
        if future.done():
            done()
        else:
            self._core.watch(watch, group([(future._batch, future._tid)]))  # noqa: SLF001

    def _check_own(self, futures: list[AsyncFuture[Any]]) -> None:
        for batch in {future._batch: None for future in futures}:  # noqa: SLF001
            if batch.owner is not self:
                msg = f"the future {batch.key(batch.first)} belongs to another client"
                raise ValueError(msg)

    # ------------------------------------------------------------ questions

    async def flush(self) -> None:
        """Wait until the scheduler has everything that was submitted."""
        self.live.check_open()
        await self.live.ask("flush", {})

    async def scheduler_info(self) -> dict[str, Any]:
        """What the scheduler and its workers are, and how they are."""
        info = await self.live.ask("info", {})
        info["address"] = self.scheduler_address
        return info

    async def nthreads(self) -> dict[str, int]:
        """The slots of each worker, by address."""
        return await self.live.ask("nthreads", {})

    async def who_has(self, futures: Any) -> dict[str, list[str]]:
        """The addresses of the workers that hold each value, by key."""
        found: list[AsyncFuture[Any]] = []
        futures_in(futures, found)
        self._check_own(found)
        tids = [future._tid for future in found]  # noqa: SLF001
        answer = await self.live.ask("who_has", {"tids": tids})
        holders: dict[str, list[str]] = answer["who_has"]
        return {future.key: holders.get(str(future._tid), []) for future in found}  # noqa: SLF001

    async def wait_for_workers(
        self,
        n_workers: int,
        timeout: float | None = None,  # noqa: ASYNC109 - as in Dask
    ) -> None:
        """Wait until there are so many workers.

        Raises:
            TimeoutError: there were not within `timeout` seconds.
        """
        if type(n_workers) is not int or n_workers < 1:
            msg = f"n_workers={n_workers!r}: it is a whole number, 1 or more"
            raise ValueError(msg)
        with anyio.move_on_after(timeout) as scope:
            await self.live.ask("wait_for_workers", {"n": n_workers})
        if scope.cancelled_caught:
            here = len(await self.nthreads())
            msg = f"only {here} of {n_workers} workers arrived within {timeout:g} s"
            raise TimeoutError(msg)


def _checked_key(key: Any) -> str:
    if not isinstance(key, str) or not key:
        msg = f"key={key!r}: a key is a string that is not empty"
        raise SubmitError(msg)
    return key


def _many_keys(key: str | list[str], count: int) -> list[str]:
    if isinstance(key, str):
        prefix = _checked_key(key)
        return [f"{prefix}-{row}" for row in range(count)]
    keys = [_checked_key(each) for each in key]
    if len(keys) != count:
        msg = f"key= has {len(keys)} keys for {count} calls"
        raise SubmitError(msg)
    if len(set(keys)) != count:
        twice = next(each for row, each in enumerate(keys) if each in keys[:row])
        msg = f"key= has {twice!r} more than once"
        raise SubmitError(msg)
    return keys
