"""A client as an executor of `concurrent.futures`, for code that is written for those."""

from __future__ import annotations

import concurrent.futures
import itertools
import threading
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from trio_dask.client.inside_waits import TaskThreadWaits
from trio_dask.client.outcomes import Failed
from trio_dask.client.waits import TimeIsUp, run_blocking, seconds_of
from trio_dask.runner.chunks import call_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from trio_dask.client.base import BaseClient
    from trio_dask.client.waits import Bell

T = TypeVar("T")

#: What the client's `submit` takes for itself: a function's argument of such a name stays its own.
_OPTIONS: Final = frozenset({
    "key", "pure", "priority", "retries", "resources", "workers", "allow_other_workers",
    "timeout", "deadline", "on_cancel", "actor", "executor",
})  # fmt: skip


class _Waiters(list[Any]):
    """Who waits for a future of a task, inside a task, with `wait` or `as_completed`.

    Each of these puts something of its own here, with an `event` for which it will wait, while it
    has the locks of all its futures, so that nobody can set the event yet. It is given one that
    knows of slots.
    """

    def __init__(self, event: Callable[[], threading.Event]) -> None:
        super().__init__()
        self._event = event

    def append(self, waiter: Any) -> None:
        """Somebody waits."""
        if type(getattr(waiter, "event", None)) is threading.Event:
            waiter.event = self._event()
        super().append(waiter)


class ExecutorFuture(concurrent.futures.Future[T]):
    """A future of `concurrent.futures`, of a task of a client.

    Inside a task who waits for it does so without its slot, as what is waited for may need it: with
    `result` and `exception`, and with `wait` and `as_completed` of the standard library.

    Callbacks are called where those of the client's own futures are, and may wait for other calls;
    those of a future that is cancelled in the thread that cancels it.
    """

    def __init__(
        self,
        give_up: Callable[[ExecutorFuture[T]], None],
        wait: Callable[[list[ExecutorFuture[Any]], float | None], float | None],
        run_callback: Callable[[Callable[[], None]], None],
        event: Callable[[], threading.Event] | None = None,
    ) -> None:
        super().__init__()
        self._run_callback = run_callback
        if event is not None:
            self._waiters = _Waiters(event)
        self._give_up = give_up
        self._wait = wait
        self._settling = threading.Lock()

    def result(self, timeout: float | None = None) -> T:
        """The value, or the error that the call raised."""
        return super().result(timeout if self.done() else self._wait([self], timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """The error that the call raised, or None."""
        return super().exception(timeout if self.done() else self._wait([self], timeout))

    def cancel(self) -> bool:
        """Give the task up, whether it has begun or not. False if it has ended."""
        with self._settling:
            was_done = self.done()
            if not self._cancel():
                return False
        if not was_done:
            self._tell()
            self._give_up(self)
        return True

    def settle(self, outcome: object) -> None:
        """The task has ended: with a value, an error as `Failed`, or as it was cancelled."""
        with self._settling:
            if self.done():
                return
            if not isinstance(outcome, Failed):
                self.set_result(outcome)  # type: ignore[arg-type]
            elif isinstance(outcome.error, concurrent.futures.CancelledError):
                self._cancel()
            else:
                self.set_exception(outcome.error)
        self._run_callback(self._tell)

    def _cancel(self) -> bool:
        """With the lock."""
        if not super().cancel():
            return False
        if self._state == concurrent.futures._base.CANCELLED:  # noqa: SLF001 - who waits is told
            self.set_running_or_notify_cancel()
        return True

    def _invoke_callbacks(self) -> None:
        """Not here, with the lock: they may well cancel this future, as one of several."""

    def _tell(self) -> None:
        super()._invoke_callbacks()  # type: ignore[misc]


class ClientExecutor(concurrent.futures.Executor):
    """Runs calls on the cluster of a client. See `Client.get_executor`."""

    def __init__(self, client: BaseClient, options: dict[str, Any]) -> None:
        if unknown := sorted(options.keys() - _OPTIONS | options.keys() & {"key", "actor"}):
            msg = f"unknown option {unknown[0]}= for the calls of an executor"
            raise TypeError(msg)
        self._client: Any = client
        self._options = options
        self._lock = threading.Lock()
        self._pending: dict[ExecutorFuture[Any], Any] = {}
        waits: Any = self._client.live.waits
        inside = isinstance(waits, TaskThreadWaits)
        self._event = partial(waits.event, self._client.live.flush) if inside else None
        self._is_shut = False

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._client!r}>"

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> ExecutorFuture[T]:
        """Run ``fn(*args, **kwargs)`` on the cluster.

        Raises:
            RuntimeError: the executor was shut down, or its client is closed.
            SubmitError: something cannot be pickled.
        """
        if not _OPTIONS.isdisjoint(kwargs):
            fn, kwargs = partial(fn, **kwargs), {}
        with self._lock:
            if self._is_shut:
                msg = "this executor was shut down: it takes no more calls"
                raise RuntimeError(msg)
            future: ExecutorFuture[T] = ExecutorFuture(
                self._give_up,
                self._wait,
                self._client._run_callback,  # noqa: SLF001 - where those of its futures run
                self._event,
            )
            task: Any = self._client.submit(fn, *args, **self._options, **kwargs)
            self._pending[future] = task
        self._client.follow(task, partial(self._settle, future))
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
        **others: Any,
    ) -> Iterator[T]:
        """Run `fn` for each row of the iterables, and give the values in order.

        Args:
            fn: the function.
            iterables: its arguments.
            timeout: no value is waited for longer than this, counted from now.
            chunksize: so many calls are one task.
            others: what executors of later Pythons know.
        """
        if chunksize < 1:
            msg = f"chunksize={chunksize!r}: there is at least one call in a task"
            raise ValueError(msg)
        if timeout is not None:
            timeout = seconds_of(timeout)
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout, **others)
        rows = zip(*iterables, strict=False)
        chunks = iter(lambda: list(itertools.islice(rows, chunksize)), [])
        found = super().map(partial(call_rows, fn), chunks, timeout=timeout, **others)
        return itertools.chain.from_iterable(found)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:  # noqa: FBT001, FBT002
        """Take no more calls.

        Args:
            wait: wait until all have ended. An executor of an `AsyncClient` never does, as nothing
                could end meanwhile.
            cancel_futures: give up those that have not ended.
        """
        with self._lock:
            self._is_shut = True
            pending = list(self._pending)
        if cancel_futures:
            for future in pending:
                future.cancel()
        if wait and not self._client.asynchronous:
            self._wait(pending, None)
            concurrent.futures.wait(pending)

    def _wait(self, futures: list[ExecutorFuture[Any]], timeout: float | None) -> float | None:
        """Wait for them as a task does, if this is one; how long to go on waiting."""
        live = self._client.live
        waits = live.waits
        if not isinstance(waits, TaskThreadWaits):
            return timeout
        live.flush()
        deadline = waits.deadline(timeout)
        try:
            for future in futures:
                bell = waits.bell()
                future.add_done_callback(partial(_ring, bell))
                run_blocking(bell.wait(deadline))
        except TimeIsUp:
            return 0
        return None

    def _settle(self, future: ExecutorFuture[Any], outcome: object) -> None:
        with self._lock:
            self._pending.pop(future, None)
        future.settle(outcome)

    def _give_up(self, future: ExecutorFuture[Any]) -> None:
        with self._lock:
            task = self._pending.pop(future, None)
        if task is not None:
            self._client.give_up(task, "its future was cancelled")


def _ring(bell: Bell, _: object) -> None:
    bell.ring()
