"""`async def` tasks: a Trio loop in a thread of its own, started by the first of them.

A thread with a slot attends each of them while it runs. One that waits for other tasks is
left alone until it goes on, when the next thread with a slot attends it: so those that wait
hold no thread.
"""

from __future__ import annotations

from contextvars import ContextVar
from math import inf
from queue import SimpleQueue
from threading import Lock, Thread
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from trio_dask.errors import TaskCancelled, TaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    import trio

    from trio_dask.messages.ids import Attempt
    from trio_dask.runner.slots import Limit, Task

#: The async task that runs the present code, if one does.
present: Final[ContextVar[AsyncTask | None]] = ContextVar("trio_dask_task", default=None)


class AsyncTask:
    """An attempt that is a coroutine. `outcome` goes to whoever attends it: nobody while it waits."""

    __slots__ = (
        "began", "comers", "coroutine", "end", "going", "limit", "loop", "outcome", "parked_at",
        "parked_s", "runner", "scope", "task",
    )  # fmt: skip

    def __init__(self, task: Task, began: float, runner: Any, limit: Limit | None) -> None:
        self.task = task
        self.began = began
        self.limit = limit
        self.end = inf if limit is None else min(began + limit[0], limit[1])
        self.runner = runner
        self.parked_at = 0.0
        self.parked_s = 0.0
        self.outcome: SimpleQueue[_Outcome] | None = None
        self.scope: trio.CancelScope | None = None
        self.going: trio.Event | None = None  # set when it is attended again
        self.comers = 0  # that wait for it
        self.loop: _Loop | None = None
        self.coroutine: Any = None  # for those who look at what it does

    @property
    def attempt(self) -> Attempt:
        """Which attempt it is."""
        return self.task[2]

    @property
    def seconds(self) -> float:
        """So long it has run, without the times in which it had no slot."""
        return monotonic() - self.began - self.parked_s

    # ------------------------------------------------------------ on the loop

    def park(self) -> bool:
        """It waits, or goes on without a slot; whether it had one. On the loop."""
        outcome, self.outcome = self.outcome, None
        if outcome is None:
            return False
        self.parked_at = monotonic()
        outcome.put((PARKED, None))
        return True

    async def come(
        self, enqueue: Callable[[AsyncTask], None], forget: Callable[[AsyncTask], None]
    ) -> None:
        """It goes on: wait until somebody attends it. On the loop."""
        if self.outcome is not None:
            return
        going = self.going
        if going is None:
            import trio

            going = self.going = trio.Event()
            enqueue(self)
        self.comers += 1
        try:
            await going.wait()
        finally:
            self.comers -= 1
            if self.going is going and not self.comers:  # it was cancelled: it goes on without
                self.going = None
                forget(self)

    def attended(self, outcome: SimpleQueue[_Outcome]) -> None:
        """A thread with a slot attends it. On the loop."""
        if self.going is None:  # it has ended, or was cancelled
            outcome.put((PARKED, None))
            return
        self.parked_s += monotonic() - self.parked_at
        self.outcome = outcome
        self.going.set()
        self.going = None


#: What comes of a task that has given up its slot, and goes on later.
PARKED: Final = object()
#: Where the outcome of one task goes: its value, or what it raised.
_Outcome = tuple[Any, BaseException | None]


class AsyncTasks:
    """Runs coroutines for slots, which wait: an async task takes a slot like any other.

    Args:
        unattended: what to do about the outcome of a task that nobody attends; on the loop.
    """

    def __init__(self, unattended: Callable[[AsyncTask, Any, BaseException | None], None]) -> None:
        self._starting = Lock()
        self._loop: _Loop | None = None
        self._unattended = unattended

    def run(self, coroutine: Coroutine[Any, Any, Any], task: AsyncTask) -> Any:
        """The value of a coroutine, or `PARKED`. Called by slots; raises what it raises."""
        outcome: SimpleQueue[_Outcome] = SimpleQueue()
        task.outcome = outcome
        with self._starting:
            if self._loop is None or not self._loop.alive:
                self._loop = _Loop(self._unattended)
            self._loop.submit(coroutine, task)
        return _value(outcome)

    def attend(self, task: AsyncTask) -> Any:
        """The same for one that goes on after it was parked."""
        outcome: SimpleQueue[_Outcome] = SimpleQueue()
        assert task.loop is not None
        if not task.loop.soon(task.attended, outcome):
            return PARKED  # the loop is over, and has told what became of it
        return _value(outcome)

    def present(self) -> dict[Attempt, AsyncTask]:
        """Those that have begun and not ended."""
        return self._loop.present() if self._loop is not None else {}

    def cancel(self, attempt: Attempt) -> None:
        """Cancel the coroutine of an attempt, if it has one."""
        if self._loop is not None:
            self._loop.cancel(attempt)

    def close(self) -> None:
        """End the loop, cancelling what runs there."""
        with self._starting:
            if self._loop is not None:
                self._loop.close()


def _value(outcome: SimpleQueue[_Outcome]) -> Any:
    value, error = outcome.get()
    if error is not None:
        raise error
    return value


class _Loop:
    """One Trio run and its thread."""

    def __init__(self, unattended: Callable[[AsyncTask, Any, BaseException | None], None]) -> None:
        self._unattended = unattended
        self._tasks: dict[Attempt, AsyncTask] = {}
        self._nursery: trio.Nursery | None = None
        self._token: trio.lowlevel.TrioToken | None = None
        ready: SimpleQueue[None] = SimpleQueue()
        self._thread = Thread(target=self._run, args=(ready,), name="async-tasks", daemon=True)
        self._thread.start()
        ready.get()

    @property
    def alive(self) -> bool:
        """Whether it takes coroutines."""
        return self._token is not None

    @property
    def ident(self) -> int:
        """Its thread."""
        return self._thread.ident or 0

    def present(self) -> dict[Attempt, AsyncTask]:
        """Those that have begun and not ended."""
        return dict(self._tasks)

    def submit(self, coroutine: Coroutine[Any, Any, Any], task: AsyncTask) -> None:
        """Run a coroutine; its outcome is told, whatever happens."""
        task.loop, task.coroutine = self, coroutine
        self._tasks[task.attempt] = task
        try:
            assert self._token is not None
            self._token.run_sync_soon(self._start, coroutine, task)
        except BaseException:
            self._tasks.pop(task.attempt, None)
            coroutine.close()
            raise

    def soon(self, fn: Callable[..., object], *args: Any) -> bool:
        """Call something on the loop; whether there is one."""
        token = self._token
        if token is None:
            return False
        try:
            token.run_sync_soon(fn, *args)
        except RuntimeError:  # it has just ended
            return False
        return True

    def spawn(self, fn: Callable[..., Any], *args: Any) -> None:
        """Have something done beside the tasks. On the loop."""
        if self._nursery is not None:
            self._nursery.start_soon(fn, *args)

    def close(self) -> None:
        """Cancel everything and end."""
        if self._nursery is not None:
            self.soon(self._nursery.cancel_scope.cancel)

    def cancel(self, attempt: Attempt) -> None:
        """Cancel the coroutine of an attempt. Those submitted before have begun by then."""
        self.soon(self._cancel, attempt)

    def _cancel(self, attempt: Attempt) -> None:
        task = self._tasks.get(attempt)
        if task is not None and task.scope is not None:
            task.scope.cancel("the task was cancelled")

    def _start(self, coroutine: Coroutine[Any, Any, Any], task: AsyncTask) -> None:
        import trio

        assert self._nursery is not None
        task.scope = trio.CancelScope(deadline=trio.current_time() + task.end - monotonic())
        self._nursery.start_soon(self._one, coroutine, task)

    async def _one(self, coroutine: Coroutine[Any, Any, Any], task: AsyncTask) -> None:
        value: Any = None
        error: BaseException | None = None
        present.set(task)
        scope = task.scope
        assert scope is not None
        if task.limit is not None and (span := task.runner.spans.get(task.attempt)) is not None:
            span.enter_for_good()
        try:
            with scope:
                value = await coroutine
            if scope.cancelled_caught:
                error = TaskCancelled()
        except BaseException as raised:  # noqa: BLE001 - whatever a task raises is its result
            error = raised
        nest = task.runner.nests.get(task.attempt)
        if nest is not None:
            error = nest.close(value, error)
        self._tasks.pop(task.attempt, None)
        self._tell(task, value, error)

    def _tell(self, task: AsyncTask, value: Any, error: BaseException | None) -> None:
        outcome, task.outcome, task.scope, task.going = task.outcome, None, None, None
        task.coroutine = None
        if outcome is not None:
            outcome.put((value, error))
        else:
            self._unattended(task, value, error)

    def _run(self, ready: SimpleQueue[None]) -> None:
        import trio

        async def main() -> None:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._token = trio.lowlevel.current_trio_token()
                ready.put(None)
                await trio.sleep_forever()

        error: BaseException | None = None
        try:
            trio.run(main)
        except BaseException as raised:  # noqa: BLE001 - those who wait are told
            error = raised
        self._token = None
        ready.put(None)
        gone = TaskError("the event loop of async tasks has ended")
        gone.__cause__ = error
        for task in list(self._tasks.values()):
            self._tell(task, None, gone)
        self._tasks.clear()
