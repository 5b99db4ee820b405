"""A cluster on a loop of its own, for who cannot give it one: opened and closed from anywhere."""

from __future__ import annotations

import logging
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import anyio
import trio

from trio_dask.client import LoopThread, at_exit, not_at_exit, waker
from trio_dask.config import forget_token, remember_token
from trio_dask.errors import TrioDaskError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from contextlib import AbstractAsyncContextManager

    from trio_dask.deploy.handle import ClusterHandle
    from trio_dask.deploy.job_plan import JobPlan
    from trio_dask.deploy.plan import LocalPlan
    from trio_dask.deploy.ssh_plan import SSHPlan

T = TypeVar("T")

#: How long closing may take: two servers, of which each has its grace.
CLOSE_S: Final = 15.0

logger = logging.getLogger("trio_dask.deploy")


class Engine:
    """A cluster, and the loop it lives on.

    It lives until it is closed, also when nobody holds it any more: clients may.
    """

    def __init__(
        self,
        plan: LocalPlan | SSHPlan | JobPlan,
        open_cluster: Callable[[], AbstractAsyncContextManager[ClusterHandle]],
    ) -> None:
        self.plan: Final = plan
        self._open_cluster: Final = open_cluster
        self._loop: Final = LoopThread(f"cluster {plan.name}")
        self._scope: Final = trio.CancelScope()
        self._opened: Final[Future[ClusterHandle]] = Future()
        self._ended: Final[Future[None]] = Future()
        self._entry: tuple[int, int] | None = None

    @property
    def handle(self) -> ClusterHandle | None:
        """The cluster, once it is there."""
        done = self._opened.done() and self._opened.exception() is None
        return self._opened.result() if done else None

    @property
    def closed(self) -> bool:
        """Whether nothing of it is left; a forked process has nothing of it either."""
        return self._ended.done() or self._loop.forked

    def soon(self, fn: Callable[[], object]) -> None:
        """Call `fn` where the cluster lives."""
        self._loop.soon(fn)

    def call(self, fn: Callable[..., Awaitable[T]], *args: object) -> T:
        """Run ``fn(*args)`` where the cluster lives, and block until it is done."""
        return self._loop.call(fn, *args)

    async def call_async(self, fn: Callable[..., Awaitable[T]], *args: object) -> T:
        """The same for whoever must not block; a cancellation reaches it."""
        outcome: Future[T] = Future()
        scope = trio.CancelScope()

        def fail(error: Exception) -> None:
            with suppress(InvalidStateError):
                outcome.set_exception(error)

        async def run() -> None:
            try:
                with scope:
                    outcome.set_result(await fn(*args))
            except Exception as error:  # noqa: BLE001 - it is the caller's
                fail(error)

        self._loop.spawn(run)
        self._ended.add_done_callback(lambda _: fail(RuntimeError("the cluster is closed")))
        try:
            await _done(outcome)
        except BaseException:
            self._loop.soon(scope.cancel)
            raise
        return outcome.result()

    # ------------------------------------------------------------ its life

    def _start(self) -> None:
        self._entry = at_exit(self)
        self._loop.start()
        self._loop.spawn(self._live)

    async def _live(self) -> None:
        try:
            with self._scope:
                async with self._open_cluster() as handle:
                    remember_token(handle.scheduler_address, handle.token)
                    try:
                        self._opened.set_result(handle)
                        await trio.sleep_forever()
                    finally:
                        forget_token(handle.scheduler_address)
        except Exception as error:
            if self._opened.done():
                logger.exception("%s has ended", self.plan.name)
            else:
                self._opened.set_exception(error)
        finally:
            if not self._opened.done():
                self._opened.set_exception(RuntimeError("the cluster was closed while it started"))
            self._ended.set_result(None)

    # ------------------------------------------------------------ blocking

    def open(self) -> None:
        """Block until it is there; whatever goes wrong, nothing of it is left."""
        try:
            self._start()
            self._opened.result()
        except BaseException as error:
            self.close()
            if isinstance(error, TrioDaskError):
                error.__traceback__ = None  # how the loop came there is of no use to anybody
            raise

    def close(self) -> None:
        """Block until nothing of it is left. From any thread, as often as you like."""
        if self._entry is not None:
            not_at_exit(self._entry)
        self._loop.stop(CLOSE_S)

    # ------------------------------------------------------------ on Trio or asyncio

    async def open_async(self) -> None:
        """Wait until it is there; whatever goes wrong, nothing of it is left."""
        try:
            self._start()
            await _done(self._opened)
            self._opened.result()
        except BaseException:
            await self.close_async()  # noqa: ASYNC102 - bounded in there
            raise

    async def close_async(self) -> None:
        """Wait until nothing of it is left. A cancellation does not cut it short."""
        if not self._loop.running:
            return
        self._loop.soon(self._scope.cancel)
        with anyio.move_on_after(CLOSE_S, shield=True):
            await _done(self._ended)
        self.close()


async def _done(future: Future[Any]) -> None:
    """Wait until something has happened on another loop."""
    event = anyio.Event()
    wake = waker(event.set)
    future.add_done_callback(lambda _: wake())
    await event.wait()
