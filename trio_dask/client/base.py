"""What both clients do, written once: as plain calls, and as coroutines where it waits."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self, TypeVar

from trio_dask.client import currents, metering
from trio_dask.client.collections.known import KnownKeys
from trio_dask.client.core import ERROR, AllDone, Batch, group
from trio_dask.client.describing import Describer
from trio_dask.client.finding import futures_meant
from trio_dask.client.futures import BaseFuture
from trio_dask.client.named import meant
from trio_dask.client.notebook import as_html
from trio_dask.client.options import bars, refuse_old_names
from trio_dask.client.outcomes import Failed
from trio_dask.client.shapes import SKIPPED, futures_in, refill
from trio_dask.client.topics import Listening
from trio_dask.client.tracing import Tracing
from trio_dask.client.waits import TimeIsUp
from trio_dask.errors import SubmitError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.console import Console

    from trio_dask.client.executor import ClientExecutor
    from trio_dask.client.keys import Keys
    from trio_dask.client.live import Live
    from trio_dask.messages.ids import TaskId

logger = logging.getLogger("trio_dask.client")

F = TypeVar("F", bound="BaseFuture[Any]")


class BaseClient:
    """A client without its way of waiting."""

    asynchronous: ClassVar[bool]

    def __init__(self, live: Live) -> None:
        #: What the client is made of; futures use it.
        self.live: Final = live
        self._core: Final = self.live.core
        #: Whom events are for.
        self.listening: Final = Listening(self)
        self._core.heard = self.listening.arrived
        #: Futures of graphs, by the keys that graphs use.
        self.graph_futures: Final = KnownKeys()
        #: Makes spans of it, if that is switched on.
        self.tracing: Final = Tracing() if live.entrance.tracing else None
        #: Pickles what is submitted.
        self.describer: Final = Describer(
            self._core, self, live.entrance.argument_bytes_max, self.live.lock
        )

    def __repr__(self) -> str:
        text = f"{type(self).__name__}: {self.scheduler_address!r}, {self.live.state}"
        count = len(self._core.table)
        if self.live.state != "closed":
            text += f", {count} future{'' if count == 1 else 's'}"
        return f"<{text}>"

    def __copy__(self) -> Self:
        return self  # there is one connection, and configurations that name it are copied

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> Any:
        kind = "AsyncClient" if self.asynchronous else "Client"
        msg = f"{kind} stays in its process; a task has one of its own, by get_client()"
        raise SubmitError(msg)

    def _repr_html_(self) -> str:
        # What a cluster of its own has is known without asking anybody.
        own = getattr(self, "cluster", None) if self.live.state == "open" else None
        facts = {
            "Scheduler": self.scheduler_address,
            "State": self.live.state,
            "Workers": "" if own is None else f"{own.n_workers:,}",
            "Threads": "" if own is None else own.n_threads or "",
            "Futures": f"{len(self._core.table) if self.live.state != 'closed' else 0:,}",
        }
        return as_html(type(self).__name__, facts, self.dashboard_link)

    @classmethod
    def current(cls) -> Self:
        """The client of this kind whose block this is, or the last opened that is still open.

        Raises:
            ValueError: there is none.
        """
        return currents.find(cls)

    @property
    def scheduler_address(self) -> str:
        """Where the scheduler is."""
        return self.live.entrance.address

    @property
    def dashboard_link(self) -> str:
        """Where the cluster's dashboard is; empty if it has none, or this client was never open.

        The scheduler says so soon after the client has been opened.
        """
        return self.live.dashboard_link

    # ------------------------------------------------------------ work

    def _one(
        self,
        make: Callable[[Batch, TaskId], F],
        called: tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]],
        keys: Keys | None,
        options: dict[str, Any],
    ) -> F:
        """One call, described and submitted."""
        self.live.check_open()
        refuse_old_names(called[2])
        options = self.live.within(options)
        if self.tracing is None:
            batch, first = self.describer.submit(*self.describer.call(*called, keys), options)
        else:
            with self.tracing.submission(called[0], options) as (span, options):
                batch, first = self.describer.submit(*self.describer.call(*called, keys), options)
                span.set_attribute("trio_dask.key", batch.key(first))
        self.live.soon()
        return make(batch, first)

    def _many(
        self,
        make: Callable[[Batch, TaskId], F],
        called: tuple[Callable[..., Any], Sequence[Iterable[Any]], Mapping[str, Any]],
        keys: Keys | None,
        options: dict[str, Any],
    ) -> list[F]:
        """One call for each row of the iterables."""
        self.live.check_open()
        if not called[1]:
            msg = "map needs at least one iterable; for a single call there is submit"
            raise SubmitError(msg)
        refuse_old_names(called[2])
        function, rows = self.describer.calls(*called, keys)
        count = len(rows.args)
        if not count:
            return []
        options = self.live.within(options)
        if self.tracing is None:
            batch, first = self.describer.submit(function, rows, options)
        else:
            with self.tracing.submission(called[0], options) as (span, options):
                batch, first = self.describer.submit(function, rows, options)
                span.set_attribute("trio_dask.tasks", count)
        self.live.soon()
        return [make(batch, tid) for tid in range(first, first + count)]

    def _cancel_now(self, future: BaseFuture[Any], reason: str) -> None:
        if not self._core.ended and not future.done():
            with self.live.lock:
                self._core.cancel([future._tid], reason)  # noqa: SLF001

    def give_up(self, future: BaseFuture[Any], reason: str) -> None:
        """Cancel a task without waiting for its end."""
        self._cancel_now(future, reason)
        self.live.soon()

    def get_executor(self, **options: Any) -> ClientExecutor:
        """An executor of `concurrent.futures` that runs its calls on the cluster.

        Its futures are those of the standard library, for `concurrent.futures.wait`,
        `asyncio.wrap_future`, and code that takes any executor. `options` are those of
        `submit`, for all of its calls.
        """
        from trio_dask.client.executor import ClientExecutor

        return ClientExecutor(self, options)

    def follow(self, future: BaseFuture[Any], settle: Callable[[object], None]) -> None:
        """Call `settle` with the value of a task when it has ended, or with its error as `Failed`."""
        raise NotImplementedError

    async def _outcome(self, future: BaseFuture[Any], settle: Callable[[object], None]) -> None:
        try:
            outcome = await self.live.values.one(future._batch, future._tid, None)  # noqa: SLF001
        except Exception as error:  # noqa: BLE001 - it is for those who wait
            outcome = Failed(error)
        settle(outcome)

    # ------------------------------------------------------------ values

    def submit_one(
        self,
        make: Callable[[Batch, TaskId], F],
        called: tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]],
        options: dict[str, Any],
    ) -> F:
        """One call with options as they are sent."""
        return self._one(make, called, None, options)

    async def gathered(self, futures: Any, errors: str) -> Any:
        """Values in the same shape, or `Failed`."""
        return await self._gather(futures, errors)

    async def _gather(
        self,
        futures: Any,
        errors: str,
        progress: bool | Console = False,  # noqa: FBT001, FBT002
    ) -> Any:
        """Their values in the same shape, or `Failed`: who raises is next to the user's code."""
        if errors not in ("raise", "skip", "return"):
            msg = f"errors={errors!r}: it is 'raise', 'skip' or 'return'"
            raise ValueError(msg)
        if not isinstance(futures, list | tuple | set | frozenset | dict | BaseFuture):
            if isinstance(futures, str | bytes) or not isinstance(futures, Iterable):
                msg = (
                    f"gather takes futures, in lists, tuples, sets and dicts, not {futures!r:.100}"
                )
                raise TypeError(msg)
            futures = list(futures)
        plain = type(futures) is list and all(
            issubclass(t, BaseFuture) for t in set(map(type, futures))
        )
        found: list[BaseFuture[Any]] = futures if plain else []
        if not plain:
            futures_in(futures, found)
        self._check_own(found)
        progress = bars(progress)
        if progress is False:
            values = await self.live.values.many(found, errors)
        else:
            meter = metering.Gathering(len(found), self.live.ask)
            with metering.shown(meter, "gather", where=progress):
                values = await self.live.values.many(found, errors, meter)
        if isinstance(values, Failed):
            return values
        if plain and errors != "skip":
            return values
        filled = refill(futures, iter(values))
        return None if filled is SKIPPED else filled

    async def _cancel(self, futures: Any, reason: object) -> None:
        found = self._found(futures)
        why = "" if reason is None else str.__str__(str(reason))
        tasks = [(future._batch, future._tid) for future in found if not future.done()]  # noqa: SLF001
        if tasks:
            self.live.check_open()
            with self.live.lock:
                self._core.cancel([tid for _, tid in tasks], why)
        await self.live.values.done(group(tasks))

    def keep(self, futures: Sequence[BaseFuture[Any]]) -> None:
        """Run these to their end whatever becomes of their futures. See `fire_and_forget`."""
        self.live.check_open()
        self.live.must_arrive = True
        with self.live.lock:
            self._core.keep([future._tid for future in futures])  # noqa: SLF001
        self.live.soon()

    def call_when_done(self, future: F, callback: Callable[[F], object]) -> None:
        """Call `callback` when the future is done."""
        strange: Any = callback
        if not callable(strange):
            msg = f"a callback is called with the future, and {callback!r:.100} cannot be called"
            raise TypeError(msg)

        def call() -> None:
            try:
                callback(future)
            except Exception:
                logger.exception("the callback %r of %r failed", callback, future)

        self._when_done(future, call, self._run_callback)

    def _when_done(
        self,
        future: BaseFuture[Any],
        call: Callable[[], None],
        run: Callable[[Callable[[], None]], None],
    ) -> None:
        """Have `call` run when the future is done."""
        self.live.check_open()

        def done() -> None:
            self.live.forget(watch)
            run(call)

        watch = AllDone(1, done)
        with self.live.lock:
            if not future.done():
                self._core.watch(watch, group([(future._batch, future._tid)]))  # noqa: SLF001
                return
        run(call)

    def _run_callback(self, call: Callable[[], None]) -> None:
        """Where callbacks run."""
        call()

    def run_handler(self, call: Callable[[], object]) -> None:
        """Where handlers of events run; they give a coroutine if they are to go on."""
        self._run_callback(lambda: self.live.go_on(call()))

    def _check_own(self, futures: Sequence[BaseFuture[Any]]) -> None:
        owners = {future._batch.owner for future in futures}  # noqa: SLF001
        if owners <= {self}:
            return
        key = next(each.key for each in futures if each._batch.owner is not self)  # noqa: SLF001
        msg = (
            f"the future {key} belongs to another client: ask that one, or have it handed over "
            "by publish_dataset, a Variable or a Queue"
        )
        raise ValueError(msg)

    async def _retry(self, futures: Any) -> None:
        found = self._found(futures)
        tids = [future._tid for future in found if future._code == ERROR]  # noqa: SLF001
        if tids:
            await self.live.ask("retry", {"tids": tids})

    def _found(self, futures: Any) -> list[BaseFuture[Any]]:
        """Those of containers and of Dask's collections that were persisted."""
        found: list[BaseFuture[Any]] = list(futures_meant(futures))
        self._check_own(found)
        return found

    # ------------------------------------------------------------ questions

    async def _dashboard_link(self) -> str:
        return str((await self.live.ask("dashboard", {})).get("link", ""))

    async def _nthreads(self, workers: str | Iterable[str] | None) -> dict[str, int]:
        if workers is None:
            found: dict[str, int] = await self.live.ask("nthreads", {})
            return found
        known = (await self.live.ask("info", {}))["workers"]
        return {address: known[address]["nthreads"] for address in meant(known, workers)}

    async def _scheduler_info(self, n_workers: int = -1) -> dict[str, Any]:
        info = await self.live.ask("info", {})
        if n_workers >= 0:
            info["workers"] = dict(list(info["workers"].items())[:n_workers])
        info["address"] = self.scheduler_address
        return info

    async def _who_has(self, futures: Any) -> dict[str, list[str]]:
        if futures is None:
            by_key: dict[str, list[str]] = {}
            for address, keys in (await self.live.ask("has_what", {}))["keys"].items():
                for key in keys:
                    by_key.setdefault(key, []).append(address)
            return by_key
        found = self._found(futures)
        tids = [future._tid for future in found]  # noqa: SLF001
        answer = await self.live.ask("who_has", {"tids": tids})
        holders: dict[str, list[str]] = answer["who_has"]
        return {future.key: holders.get(str(future._tid), []) for future in found}  # noqa: SLF001

    async def _wait_for_workers(self, n_workers: int, limit_s: float | None) -> None:
        if type(n_workers) is not int or n_workers < 1:
            msg = f"n_workers={n_workers!r}: it is a whole number, 1 or more"
            raise ValueError(msg)
        try:
            await self.live.ask("wait_for_workers", {"n": n_workers}, limit_s=limit_s)
            return
        except TimeIsUp:
            pass
        here = len(await self.live.ask("nthreads", {}))
        msg = f"only {here} of {n_workers} workers arrived within {limit_s:g} s"
        raise TimeoutError(msg)
