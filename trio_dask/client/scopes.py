"""Scopes: blocks that own what they start on the cluster.

Leaving the block waits for its tasks. An error in one of them stops the others, wherever
they run, and so does an error or a cancellation of the block itself. All errors come out
together.
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, Self, TypeAlias, TypeVar, overload

import anyio

from trio_dask.client.core import CANCELLED, ERROR, LOST, PENDING, EachDone, group
from trio_dask.client.futures import AsyncFuture, BaseFuture, Future
from trio_dask.client.options import limit_s
from trio_dask.client.outcomes import late_task, task_of
from trio_dask.client.waits import TimeIsUp
from trio_dask.errors import CancelledError, SchedulerUnreachable, TaskTimeout

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from types import TracebackType

    from trio_dask.client.async_client import AsyncClient
    from trio_dask.client.base import BaseClient
    from trio_dask.client.blocking import Client

T = TypeVar("T")
F = TypeVar("F", bound=BaseFuture[Any])
OnError: TypeAlias = Literal["cancel_all", "collect"]

_MESSAGE: Final = "errors in a scope"


class BaseScope(Generic[F]):
    """What both kinds have in common: the tasks, and when they are stopped."""

    def __init__(self, client: BaseClient, timeout_s: float | None, on_error: OnError) -> None:
        if on_error not in {"cancel_all", "collect"}:
            msg = f"on_error={on_error!r}: it is 'cancel_all' or 'collect'"
            raise ValueError(msg)
        self._client = client
        self._timeout_s = timeout_s
        self._stop_on_error = on_error == "cancel_all"
        self._futures: dict[int, F] = {}
        self._own_deadline: set[int] = set()  # of tasks that have less time than the scope
        self._watch = EachDone(self._on_done)
        self._state = "new"
        self._deadline: float | None = None
        self._timed_out = False
        #: Why its tasks are stopped; empty while they are not.
        self._stopped = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self._state}, {len(self._futures)} tasks>"

    def cancel(self, reason: str = "the scope was cancelled") -> None:
        """Stop all that has not ended, and the block where it awaits something.

        In blocking code the block goes on until it leaves a scope inside it, or its end.
        """
        with self._client.live.lock:
            self._stop(reason)

    def detach(self, future: F) -> F:
        """The task is no longer this scope's: it goes on when the block is left.

        Raises:
            ValueError: it never was.
        """
        with self._client.live.lock:
            if self._futures.pop(future._tid, None) is None:  # noqa: SLF001
                msg = f"{future.key} is not of this scope"
                raise ValueError(msg)
        return future

    # ------------------------------------------------------------ tasks

    def _begin(self) -> None:
        if self._state != "new":
            msg = "a scope is entered once; ask the client for another"
            raise RuntimeError(msg)
        self._client.live.check_open()
        self._state = "open"
        self._deadline = self._client.live.waits.deadline(self._timeout_s)

    def _start(self, start: Callable[..., Any], fn: Any, args: Any, options: dict[str, Any]) -> Any:
        """Start tasks, which have no more time than the scope."""
        self._check_open()
        own = None
        if self._deadline is not None:
            left = max(0.0, self._deadline - (self._client.live.waits.deadline(0.0) or 0.0))
            if options.get("deadline") is not None:
                own = limit_s("deadline", options["deadline"])
            options = {**options, "deadline": left if own is None else min(left, own)}
            own = None if own is None or own >= left else own
        return start(fn, *args, **options), own is not None

    def _own(self, futures: Iterable[F], *, less_time: bool) -> None:
        """These are the scope's; `less_time` says that they have less than it has."""
        new = list(futures)
        live = self._client.live
        if less_time:
            self._own_deadline.update(future._tid for future in new)  # noqa: SLF001
        with live.lock:
            self._futures.update((future._tid, future) for future in new)  # noqa: SLF001
            if self._stopped:
                live.core.cancel([future._tid for future in new], self._stopped)  # noqa: SLF001
                live.soon()
            pending = [future for future in new if not future.done()]
            if pending:
                live.core.watch(self._watch, group((f._batch, f._tid) for f in pending))  # noqa: SLF001
            if len(pending) < len(new):
                self._look([future for future in new if future.done()])

    def _check_open(self) -> None:
        if self._state != "open":
            msg = f"the scope is {'left' if self._state == 'left' else 'not entered'}"
            raise RuntimeError(msg)

    def _on_done(self) -> None:
        """Some have ended. Called on the client's loop, where the lock is held."""
        tids = self._watch.tids
        self._look([self._futures[tid] for tid in tids if tid in self._futures])
        tids.clear()

    def _look(self, ended: list[F]) -> None:
        if self._stop_on_error and not self._stopped:
            failed = next((f for f in ended if f._code in (ERROR, LOST)), None)  # noqa: SLF001
            if failed is not None and self._is_late(failed):
                self._stop(self._over())
            elif failed is not None:
                self._stop(f"{failed.key}, of the same scope, failed")

    def _is_late(self, future: F) -> bool:
        """Whether it failed since the scope's time was up, which the cluster may notice first."""
        key = late_task(future._batch, future._tid)  # noqa: SLF001
        if self._deadline is None or not key:
            return False
        tids = self._own_deadline
        if future.key == key:
            return future._tid not in tids  # noqa: SLF001
        return all(self._futures[tid].key != key for tid in tids if tid in self._futures)

    def _over(self) -> str:
        return f"its scope's {self._timeout_s:g} s were over"

    def _stop(self, reason: str) -> None:
        """Stop everything; with the lock."""
        if self._stopped:
            return
        self._stopped = reason
        live = self._client.live
        pending = [tid for tid, future in self._futures.items() if future._code == PENDING]  # noqa: SLF001
        if pending and not live.core.ended:
            live.core.cancel(pending, reason)
            live.soon()
        self._interrupt_block()

    def _interrupt_block(self) -> None:
        """The block itself is to end, where that can be had."""

    def _expire(self) -> None:
        """Its time is up."""
        with self._client.live.lock:
            self._timed_out = True
            self._stop(self._over())

    async def _ended(self) -> None:
        """Wait until all have ended; those added meanwhile, too."""
        live = self._client.live
        while pending := [f for f in self._futures.values() if f._code == PENDING]:  # noqa: SLF001
            deadline = None if self._stopped else self._deadline
            try:
                await live.values.done(
                    group((f._batch, f._tid) for f in pending),  # noqa: SLF001
                    deadline=deadline,
                )
            except TimeIsUp:
                self._expire()
            except SchedulerUnreachable:
                return  # their futures say so

    def _leave(self) -> None:
        live = self._client.live
        with live.lock:
            self._state = "left"
            live.core.unwatch(self._watch)
            self._watch.let_go()  # else its futures were held until the next garbage collection

    def _result(self, error: BaseException | None) -> bool:
        """Raise what went wrong; whether an error of the block has been dealt with.

        Raises:
            ExceptionGroup: what the block raised, and each task that failed.
        """
        if error is not None and not isinstance(error, Exception):
            return False  # a cancellation or an interrupt goes on as it is
        repeats = error is not None and self._is_ours(error)
        found: list[BaseException] = [] if error is None or repeats else [error]
        live = self._client.live
        for tid, future in self._futures.items():
            if future._code == ERROR and self._is_late(future):  # noqa: SLF001
                self._timed_out = True
            elif future._code in (ERROR, LOST):  # noqa: SLF001
                found.append(live.values.error_of(future._batch, tid))  # noqa: SLF001
            elif future._code == PENDING:  # noqa: SLF001
                found.append(SchedulerUnreachable(live.core.ended))
                break
        if self._timed_out:
            found.append(TaskTimeout(f"the scope was not done after {self._timeout_s:g} s"))
        if found:
            raise BaseExceptionGroup(_MESSAGE, found) from None
        return repeats

    def _is_ours(self, error: BaseException) -> bool:
        """Whether the block only repeats what one of the scope's tasks has said."""
        future = self._futures.get(task_of(error))
        return future is not None and (
            future._code in (ERROR, LOST)  # noqa: SLF001
            or (future._code == CANCELLED and bool(self._stopped))  # noqa: SLF001
        )


class AsyncScope(BaseScope[AsyncFuture[Any]]):
    """A block of async code that owns what it starts on the cluster. See `AsyncClient.scope`."""

    def __init__(self, client: AsyncClient, timeout_s: float | None, on_error: OnError) -> None:
        super().__init__(client, timeout_s, on_error)
        self._submit = client.submit
        self._map = client.map
        self._block = anyio.CancelScope()
        self._interrupted = False

    async def __aenter__(self) -> Self:
        self._begin()
        if self._deadline is not None:
            self._block.deadline = self._deadline
        self._block.__enter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._state = "leaving"
        if self._block.__exit__(kind, error, traceback):
            error = None  # we have interrupted it ourselves
        if self._block.cancel_called and not self._interrupted:
            self._expire()
        elif error is not None:
            self.cancel(_why(error))
        try:
            await self._ended()  # noqa: ASYNC102 - to wait is what leaving means
        except anyio.get_cancelled_exc_class():
            self.cancel("its scope was cancelled")
            with anyio.CancelScope(shield=True):  # what is stopped ends within seconds
                await self._ended()
            raise
        finally:
            self._leave()
        return self._result(error)

    def _interrupt_block(self) -> None:
        if self._state == "open":
            self._interrupted = True
            self._block.cancel()

    @overload
    def submit(
        self, fn: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **kw: Any
    ) -> AsyncFuture[T]: ...

    @overload
    def submit(self, fn: Callable[..., T], /, *args: Any, **kw: Any) -> AsyncFuture[T]: ...

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kw: Any) -> AsyncFuture[Any]:
        """As `AsyncClient.submit`; the task is the scope's."""
        future: AsyncFuture[Any]
        future, less_time = self._start(self._submit, fn, args, kw)
        self._own([future], less_time=less_time)
        return future

    @overload
    def map(
        self, fn: Callable[..., Coroutine[Any, Any, T]], /, *iterables: Iterable[Any], **kw: Any
    ) -> list[AsyncFuture[T]]: ...

    @overload
    def map(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], **kw: Any
    ) -> list[AsyncFuture[T]]: ...

    def map(
        self, fn: Callable[..., Any], /, *iterables: Iterable[Any], **kw: Any
    ) -> list[AsyncFuture[Any]]:
        """As `AsyncClient.map`; the tasks are the scope's."""
        futures: list[AsyncFuture[Any]]
        futures, less_time = self._start(self._map, fn, iterables, kw)
        self._own(futures, less_time=less_time)
        return futures


def _why(error: BaseException) -> str:
    return f"its scope's block raised {type(error).__name__}"


#: The scope of blocking code whose block this is.
_here: Final[ContextVar[Scope | None]] = ContextVar("scope", default=None)


class Scope(BaseScope[Future[Any]]):
    """A block that owns what it starts on the cluster. See `Client.scope`."""

    def __init__(self, client: Client, timeout_s: float | None, on_error: OnError) -> None:
        super().__init__(client, timeout_s, on_error)
        self._submit = client.submit
        self._map = client.map
        self._run = client.run_blocking
        self._after = client.after
        self._in_time: Callable[[], None] | None = None
        self._before: Scope | None = None
        self._around: Scope | None = None  # the same, if it is of the same client
        self._inside: list[Scope] = []
        #: What was raised at the end of a scope inside because this one was stopped.
        self._unwound: CancelledError | None = None
        self._stopped_with: Scope | None = None  # the scope around it, if it was stopped with that

    def __enter__(self) -> Self:
        self._begin()
        self._before = before = _here.get()
        if before is not None and before._takes_in(self, self._client):  # noqa: SLF001 - of its kind
            self._around = before
        _here.set(self)
        if self._timeout_s is not None:
            self._in_time = self._after(self._timeout_s, self._on_time)
        return self

    def _takes_in(self, scope: Scope, client: BaseClient) -> bool:
        """A scope is entered: whether that is in this one's block, of the same client."""
        if self._client is not client or self._state != "open":
            return False
        with client.live.lock:
            self._inside.append(scope)
            if self._stopped:
                self._interrupt_block()
        return True

    def _interrupt_block(self) -> None:
        """Its thread may be where it leaves a scope inside this one, and goes on from there."""
        for each in self._inside:
            each._stopped_with = self  # noqa: SLF001
            each._stop(self._stopped)  # noqa: SLF001

    def _is_ours(self, error: BaseException) -> bool:
        return error is self._unwound or super()._is_ours(error)

    def _part(self) -> None:
        """It is in no other scope any more."""
        if _here.get() is self:
            _here.set(self._before)
        self._before = None
        around, self._around = self._around, None
        if around is not None:
            with self._client.live.lock:
                around._inside.remove(self)  # noqa: SLF001

    def _on_time(self) -> None:
        if self._state == "open":
            self._expire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._state = "leaving"
        if self._in_time is not None:
            self._in_time()  # its futures are not to wait for that
        try:
            if error is not None:
                self.cancel(_why(error))
            try:
                self._run(self._ended())
            except KeyboardInterrupt as interrupt:
                if error is not None:
                    raise  # the second one: leave at once
                self.cancel(_why(interrupt))
                self._run(self._ended())
                raise
        finally:
            self._part()
            self._leave()
        is_over = self._result(error)
        around, self._stopped_with = self._stopped_with, None
        if around is None or not (is_over or error is None):
            return is_over
        raise around._unwinding(self._stopped)  # noqa: SLF001

    def _unwinding(self, reason: str) -> CancelledError:
        self._unwound = CancelledError(f"a scope was stopped with the one around it: {reason}")
        return self._unwound

    @overload
    def submit(
        self, fn: Callable[..., Coroutine[Any, Any, T]], /, *args: Any, **kw: Any
    ) -> Future[T]: ...

    @overload
    def submit(self, fn: Callable[..., T], /, *args: Any, **kw: Any) -> Future[T]: ...

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kw: Any) -> Future[Any]:
        """As `Client.submit`; the task is the scope's."""
        future: Future[Any]
        future, less_time = self._start(self._submit, fn, args, kw)
        self._own([future], less_time=less_time)
        return future

    @overload
    def map(
        self, fn: Callable[..., Coroutine[Any, Any, T]], /, *iterables: Iterable[Any], **kw: Any
    ) -> list[Future[T]]: ...

    @overload
    def map(
        self, fn: Callable[..., T], /, *iterables: Iterable[Any], **kw: Any
    ) -> list[Future[T]]: ...

    def map(
        self, fn: Callable[..., Any], /, *iterables: Iterable[Any], **kw: Any
    ) -> list[Future[Any]]:
        """As `Client.map`; the tasks are the scope's."""
        futures: list[Future[Any]]
        futures, less_time = self._start(self._map, fn, iterables, kw)
        self._own(futures, less_time=less_time)
        return futures
