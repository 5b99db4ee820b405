"""A Trio loop for code that blocks: it runs in a thread, and nobody has to end it.

Whatever is blocking to its users lives on such a loop. The thread is a daemon, so a
script that forgets it ends all the same; whoever has something to put in order by then
is told with `at_exit`.
"""

from __future__ import annotations

import atexit
import contextlib
import itertools
import logging
import os
import threading
import weakref
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

import trio

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

logger = logging.getLogger("trio_dask")

#: How long `stop` waits for the tasks of the loop, which have been cancelled.
STOP_S: Final = 10.0
#: How long a caller who was interrupted waits for the end of what he called.
_INTERRUPTED_S: Final = 5.0


class LoopThread:
    """A Trio loop in a daemon thread of its own.

    It belongs to the process that started it: in a forked child there is no such thread,
    and every call says so.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._thread: threading.Thread | None = None
        self._ready = threading.Event()
        self._failure: Exception | None = None
        self._token: trio.lowlevel.TrioToken
        self._nursery: trio.Nursery
        self._stop: trio.Event
        self._pid = os.getpid()

    @property
    def running(self) -> bool:
        """Whether calls can be made."""
        return self._thread is not None and self._thread.is_alive() and not self.forked

    @property
    def forked(self) -> bool:
        """Whether this is a copy in a child process, where the thread does not run."""
        return self._pid != os.getpid()

    def start(self) -> None:
        """Start the thread; the loop runs when this returns.

        Raises:
            OSError: there are no descriptors left for a loop.
        """
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            self._thread.join()
            raise self._failure

    def _run(self) -> None:
        try:
            trio.run(self._main, strict_exception_groups=True)
        except Exception as error:
            if self._ready.is_set():
                logger.exception("the loop of %s ended", self._name)
            else:
                self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._token, self._stop = trio.lowlevel.current_trio_token(), trio.Event()
        async with trio.open_nursery() as self._nursery:
            self._ready.set()
            await self._stop.wait()
            self._nursery.cancel_scope.cancel(f"{self._name} is stopped")

    def call(self, fn: Callable[..., Awaitable[T]], /, *args: Any) -> T:
        """Run ``fn(*args)`` as a task of the loop, and wait for its result or its error.

        Ctrl-C in the calling thread cancels the task.

        Raises:
            RuntimeError: the loop does not run.
        """
        if not self.running:
            where = "in a forked process" if self.forked else "any more"
            msg = f"the loop of {self._name} does not run {where}"
            raise RuntimeError(msg)
        call: _Call[T] = _Call(fn, args)
        try:  # from here on: Ctrl-C may come as soon as the loop has the call
            self._token.run_sync_soon(self._begin, call)
            call.done.wait()
        except trio.RunFinishedError:
            msg = f"the loop of {self._name} does not run any more"
            raise RuntimeError(msg) from None
        except BaseException:
            call.abandon(self._token)
            raise
        return call.outcome()

    def _begin(self, call: _Call[Any]) -> None:
        self._nursery.start_soon(call.run)

    def start_task(self, fn: Callable[..., Awaitable[object]], /, *args: Any) -> Any:
        """Start a task that outlives this call, and wait until it says that it has started.

        `fn` takes a `task_status`, as for `trio.Nursery.start`; what it reports is returned,
        and what it raises before that is raised. An error after that is logged.
        """

        async def supervised(*args: Any, task_status: trio.TaskStatus[Any]) -> None:
            status = _Started(task_status)
            try:
                await fn(*args, task_status=status)
            except Exception:
                if not status.reported:
                    raise
                logger.exception("%r failed on the loop of %s", fn, self._name)

        async def start() -> Any:
            return await self._nursery.start(supervised, *args)

        return self.call(start)

    def spawn(self, fn: Callable[..., Awaitable[object]], /, *args: Any) -> None:
        """Start a task that lives until it ends or the loop is stopped; its error is logged."""

        async def supervised() -> None:
            try:
                await fn(*args)
            except Exception:
                logger.exception("%r failed on the loop of %s", fn, self._name)

        self.soon(lambda: self._nursery.start_soon(supervised))

    def soon(self, fn: Callable[[], object]) -> None:
        """Call `fn` on the loop, soon; nothing happens once the loop is over."""
        try:
            self._token.run_sync_soon(fn)
        except trio.RunFinishedError:
            return

    def stop(self, timeout_s: float = STOP_S) -> None:
        """Cancel all tasks and wait until the thread has ended. Once is enough."""
        thread = self._thread
        if thread is None or not self.running or thread is threading.current_thread():
            return
        self.soon(self._stop.set)
        thread.join(timeout_s)
        if thread.is_alive():
            logger.warning("%s did not stop within %g s", self._name, timeout_s)


class _Started:
    """A task status that knows whether anything was reported."""

    def __init__(self, status: trio.TaskStatus[Any]) -> None:
        self._status = status
        self.reported = False

    def started(self, value: Any = None) -> None:
        """The task has begun."""
        self.reported = True
        self._status.started(value)


class _Call(Generic[T]):
    """A call from another thread: started by it, run by the loop, waited for by the thread."""

    def __init__(self, fn: Callable[..., Awaitable[T]], args: tuple[Any, ...]) -> None:
        self._fn = fn
        self._args = args
        self.done = threading.Event()
        self._scope: trio.CancelScope | None = None
        self._abandoned = False
        self._result: Any = None
        self._error: BaseException | None = None

    async def run(self) -> None:
        """On the loop."""
        try:
            with trio.CancelScope() as self._scope:
                if self._abandoned:
                    self._cancel()
                self._result = await self._fn(*self._args)
            if self._scope.cancelled_caught:
                self._error = KeyboardInterrupt()
        except trio.Cancelled:
            self._error = RuntimeError("the loop was stopped before the call was over")
            raise
        except BaseException as error:  # noqa: BLE001 - raised by the caller's thread
            self._error = error
        finally:
            self.done.set()

    def _cancel(self) -> None:
        self._abandoned = True
        if self._scope is not None:
            self._scope.cancel("its caller was interrupted")

    def abandon(self, token: trio.lowlevel.TrioToken) -> None:
        """In the calling thread, which was interrupted: the task ends first, if it can."""
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(self._cancel)
            self.done.wait(_INTERRUPTED_S)

    def outcome(self) -> T:
        """What it has returned, or raise what it has raised."""
        if self._error is not None:
            error, self._error = self._error, None  # no cycle of frame and error
            raise error
        return cast("T", self._result)


#: Who has something to put in order when the interpreter ends, youngest last.
_open: Final[weakref.WeakValueDictionary[tuple[int, int], Any]] = weakref.WeakValueDictionary()
_numbers: Final = itertools.count()


def at_exit(closable: Any) -> tuple[int, int]:
    """Call ``closable.close()`` when this process ends, if it is still there.

    Returns:
        What `not_at_exit` wants to be told.
    """
    entry = os.getpid(), next(_numbers)
    _open[entry] = closable
    return entry


def not_at_exit(entry: tuple[int, int]) -> None:
    """It has been closed."""
    _open.pop(entry, None)


@atexit.register
def _close_all() -> None:
    # What a forked child inherits is its parent's to close.
    for entry in sorted((each for each in list(_open) if each[0] == os.getpid()), reverse=True):
        closable = _open.pop(entry, None)
        if closable is None:
            continue
        try:
            closable.close()
        except Exception:
            logger.exception("%r could not be closed at exit", closable)
