"""The client for code that blocks: scripts, notebooks, threads."""

from __future__ import annotations

import os
import threading
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, Self, TypeVar, overload

import trio

from trio_dask.client import currents, waits
from trio_dask.client.calling import CallingThread
from trio_dask.client.collections import defaults
from trio_dask.client.collections.computing import Computing
from trio_dask.client.entrance import Entrance, advised, client_name, own_cluster
from trio_dask.client.everywhere import Everywhere
from trio_dask.client.live import Live
from trio_dask.client.loop_thread import LoopThread, at_exit, not_at_exit
from trio_dask.client.loops import dial as dial_here, refuse_running_loop
from trio_dask.client.managing import Managing
from trio_dask.client.moving import Moving
from trio_dask.client.outcomes import Failed
from trio_dask.client.reporting import Reporting
from trio_dask.client.scopes import Scope
from trio_dask.client.submitting import Submitting
from trio_dask.config import load_config
from trio_dask.errors import TrioDaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from types import TracebackType

    from trio_dask.client.base import BaseClient
    from trio_dask.client.futures import BaseFuture
    from trio_dask.client.session import Dial
    from trio_dask.comm import Security
    from trio_dask.config import Config
    from trio_dask.deploy import LocalCluster

T = TypeVar("T")


#: All that are open, for the moment in which the process forks.
_open: Final[weakref.WeakSet[Client]] = weakref.WeakSet()


class Client(Submitting, Moving, Managing, Computing, Everywhere, Reporting):
    """A connection to a cluster, for code that blocks; any number of threads may use it.

    It is open from the start until `close`, or the end of its ``with`` block. A script that
    forgets to close it ends all the same.

    Without an address it uses `scheduler_file`, or the configured address
    (``TRIO_DASK_SCHEDULER_ADDRESS``), or starts a `LocalCluster` of its own with
    `cluster_options`. Anything with a `scheduler_address` will do, too.

    ``submit`` and ``map`` pickle at once, never wait, and queue without bound; `flush`
    waits until the scheduler has everything.

    Args:
        timeout: how many seconds to try to reach the scheduler.
        config: settings, instead of those of the environment.
        name: what the scheduler calls this client in its log.
        set_as_default: whether dask's collections are computed with it, while it is open, where
            nothing else is said.

    Raises:
        SchedulerUnreachable: nobody answers there.
        AuthenticationError: the token is missing, or wrong.
        RuntimeError: this thread runs Trio or asyncio code, which must not block: there is
            `AsyncClient` for that.

    Example:
        >>> from trio_dask import Client
        >>> with Client(n_workers=1) as client:
        ...     client.submit(pow, 2, 10).result()
        1024
    """

    asynchronous: ClassVar[bool] = False

    def __init__(  # noqa: PLR0913 - options have names
        self,
        address: object = None,
        *,
        scheduler_file: str | os.PathLike[str] | None = None,
        timeout: float | str | None = None,
        config: Config | None = None,
        name: str | None = None,
        security: Security | bool | None = None,
        set_as_default: bool = True,
        dial: Dial = dial_here,
        **cluster_options: Any,
    ) -> None:
        refuse_running_loop("Client", "AsyncClient")
        config = load_config() if config is None else config
        limit_s = waits.seconds_of(timeout)
        #: The cluster that this client has started, and closes; None where it was given one.
        self.cluster: LocalCluster | None = own_cluster(
            address, scheduler_file, config, cluster_options, asynchronous=False,
            security=security,
        )  # fmt: skip
        given = address if self.cluster is None else self.cluster
        try:
            with advised():
                entrance = Entrance.find(given, scheduler_file, config, limit_s, security=security)
            name = str(name or client_name())
            own_way = waits.ThreadWaits()
            live = Live(entrance, self, dial, name=name, waits=own_way, on_loop=False)
            super().__init__(live)
            self._closing = threading.Lock()
            self._make_threads(name)
            self._loop = LoopThread(f"trio-dask {name}")
            self._loop.start()
            try:
                with advised():
                    self._loop.start_task(self._host)
            except BaseException as error:
                self._loop.stop()
                if isinstance(error, TrioDaskError) and not entrance.full_tracebacks:
                    error.__traceback__ = None  # how the loop came there is of no use to anybody
                raise
        except BaseException:
            if self.cluster is not None:
                self.cluster.close()
            raise
        self._exit = at_exit(self)
        _open.add(self)
        self._around: list[BaseClient | None] = []  # whose blocks ours are in
        currents.opened(self)
        defaults.offer()
        if set_as_default:
            defaults.opened(self)

    async def _host(self, *, task_status: trio.TaskStatus[None]) -> None:
        """The client's life on its loop."""
        self._leave, self._left = trio.Event(), trio.Event()
        await self.live.open()
        task_status.started()
        try:
            await self._leave.wait()
        finally:
            await self.live.leave()  # noqa: ASYNC102 - bounded in there
            self._left.set()

    def __enter__(self) -> Self:
        self._around.append(currents.enter(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        currents.leave(self._around.pop())
        self.close()

    def close(self) -> None:
        """Release everything and leave the cluster. Takes a few seconds at most, mostly none.

        A cluster that the client has started is closed, too. Once is enough. In a forked
        process nothing happens: there the client is its parent's.
        """
        if self._loop.forked:
            return
        with self._closing:
            if self._loop.running:
                with suppress(RuntimeError):  # an error has ended the loop, and is in the log
                    self._loop.call(self._part)
                self._loop.stop()
            self._end_threads()
            self._look_no_more()
            if self.cluster is not None:
                self.cluster.close()
        _open.discard(self)
        defaults.closed(self)
        currents.closed(self)
        not_at_exit(self._exit)

    async def _part(self) -> None:
        self._leave.set()
        await self._left.wait()

    def run_blocking(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine of this client's in this thread."""
        try:
            self.live.check_process()
        except RuntimeError:
            coroutine.close()
            raise
        return waits.run_blocking(coroutine)

    # ------------------------------------------------------------ work

    @overload
    def call(
        self, fn: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **kwargs: Any
    ) -> T: ...

    @overload
    def call(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> T: ...

    def call(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Run one call and wait for its value. Interrupting this cancels the task."""
        future = self.submit(fn, *args, **kwargs)
        try:
            return future.result()
        except KeyboardInterrupt:
            self._cancel_now(future, "its caller was interrupted")
            raise
        finally:
            if not kwargs.get("actor"):  # which lives as long as what is given here
                future.release()
            self.live.flush()

    def scope(
        self,
        *,
        timeout: float | str | None = None,
        on_error: Literal["cancel_all", "collect"] = "cancel_all",
    ) -> Scope:
        """A block that owns the tasks it starts: leaving it waits until all have ended.

        An error in one of them stops the others, on whichever machine they run; so does an error
        in the block, or Ctrl-C: the second one does not wait. With ``on_error="collect"`` all
        run to their end. What went wrong comes out as one `ExceptionGroup`. `timeout` is for
        all of it.

        ::

            with client.scope(timeout=30) as scope:
                a, b = scope.submit(f, 1), scope.submit(g, 2)
                total = scope.submit(h, a, b)
            print(total.result())
        """
        return Scope(self, waits.seconds_of(timeout), on_error)

    def follow(self, future: BaseFuture[Any], settle: Callable[[object], None]) -> None:
        """Call `settle` with the value of a task when it has ended, or with its error as `Failed`."""
        self._when_done(future, partial(self._settle, settle, future), self._results.call)

    def _settle(self, settle: Callable[[object], None], done: BaseFuture[Any]) -> None:
        try:
            self.run_blocking(self._outcome(done, settle))
        except BaseException as error:  # as of unpickling what exits: somebody waits for it
            settle(Failed(error))
            raise

    def after(self, seconds: float, call: Callable[[], None]) -> Callable[[], None]:
        """Have something called on the client's loop, unless the client is closed by then.

        Returns:
            What takes it back; until then whatever it refers to stays alive.
        """
        waiting = trio.CancelScope()

        async def later() -> None:
            with waiting:
                await trio.sleep(seconds)
                call()

        self._loop.spawn(later)
        return lambda: self._loop.soon(waiting.cancel)

    # ------------------------------------------------------------ stopping

    def cancel(self, futures: Any, *, reason: str = "") -> None:
        """Stop tasks, and wait until all of these are over.

        What has not started will not; what runs is stopped as its `on_cancel` says, which takes
        two seconds at most unless it is ``"cooperate"``. A value or an error that came first
        counts. What other clients want goes on for them.
        """
        self.run_blocking(self._cancel(futures, reason))

    def retry(self, futures: Any) -> None:
        """Run failed tasks again, and what they failed over; what has not failed stays as it is.

        When this returns they are pending. Their `retries` count anew; a deadline does not.
        """
        self.run_blocking(self._retry(futures))

    def _run_callback(self, call: Callable[[], None]) -> None:
        """In a thread of their own, where they may wait for whatever they like."""
        self._callbacks.call(call)

    def _make_threads(self, name: str) -> None:
        self._callbacks = CallingThread(f"{name} callbacks")
        #: Where what callbacks may wait for gets its value.
        self._results = CallingThread(f"{name} results")

    def _end_threads(self) -> None:
        self._results.end()
        self._callbacks.end()

    # ------------------------------------------------------------ questions

    def flush(self) -> None:
        """Wait until the scheduler has everything that was submitted."""
        self.run_blocking(self.live.ask("flush", {}))

    @property
    def dashboard_link(self) -> str:
        """Where the cluster's dashboard is; empty if it has none."""
        if not self.live.dashboard_link and self.live.state == "open":
            return self.run_blocking(self._dashboard_link())
        return self.live.dashboard_link

    def scheduler_info(self, n_workers: int = -1) -> dict[str, Any]:
        """What the scheduler and its workers are, and how they are; of `n_workers` at most."""
        return self.run_blocking(self._scheduler_info(n_workers))

    def task_counts(self) -> dict[str, int]:
        """How many tasks are in which state, those of all clients together."""
        return self.run_blocking(self.live.ask("counts", {}))

    def nthreads(self, workers: str | Iterable[str] | None = None) -> dict[str, int]:
        """The slots of each worker, or of these, by address."""
        return self.run_blocking(self._nthreads(workers))

    def who_has(self, futures: Any = None) -> dict[str, list[str]]:
        """The addresses of the workers that hold each value, by key.

        Without `futures` of all values that workers hold, those of other clients, too.
        """
        return self.run_blocking(self._who_has(futures))

    def wait_for_workers(self, n_workers: int, timeout: float | str | None = None) -> None:
        """Wait until there are so many workers.

        Raises:
            TimeoutError: there were not within `timeout` seconds.
        """
        self.run_blocking(self._wait_for_workers(n_workers, waits.seconds_of(timeout)))


def _after_fork() -> None:
    for client in list(_open):
        client.live.disown()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
