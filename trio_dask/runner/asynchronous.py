"""`async def` tasks: a Trio loop in a thread of its own, started by the first of them."""

from __future__ import annotations

from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any

from trio_dask.errors import TaskCancelled, TaskError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    import trio

    from trio_dask.messages.ids import Attempt

#: Where the outcome of one task goes: its value, or what it raised.
_Outcome = tuple[Any, BaseException | None]


class AsyncTasks:
    """Runs coroutines for slots, which wait: an async task takes a slot like any other."""

    def __init__(self) -> None:
        self._starting = Lock()
        self._loop: _Loop | None = None

    def run(self, coroutine: Coroutine[Any, Any, Any], attempt: Attempt) -> Any:
        """The value of a coroutine. Called by slots; raises what the coroutine raises."""
        outcome: SimpleQueue[_Outcome] = SimpleQueue()
        with self._starting:
            if self._loop is None or not self._loop.alive:
                self._loop = _Loop()
            self._loop.submit(coroutine, attempt, outcome)
        value, error = outcome.get()
        if error is not None:
            raise error
        return value

    def cancel(self, attempt: Attempt) -> None:
        """Cancel the coroutine of an attempt, if it has one."""
        if self._loop is not None:
            self._loop.cancel(attempt)

    def close(self) -> None:
        """End the loop, cancelling what runs there."""
        with self._starting:
            if self._loop is not None:
                self._loop.close()


class _Loop:
    """One Trio run and its thread."""

    def __init__(self) -> None:
        self._waiting: set[SimpleQueue[_Outcome]] = set()
        self._scopes: dict[Attempt, trio.CancelScope] = {}
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

    def submit(
        self,
        coroutine: Coroutine[Any, Any, Any],
        attempt: Attempt,
        outcome: SimpleQueue[_Outcome],
    ) -> None:
        """Run a coroutine; its outcome is put there, whatever happens."""
        self._waiting.add(outcome)
        try:
            assert self._token is not None
            self._token.run_sync_soon(self._start, coroutine, attempt, outcome)
        except BaseException:
            self._waiting.discard(outcome)
            coroutine.close()
            raise

    def close(self) -> None:
        """Cancel everything and end."""
        if self._token is not None and self._nursery is not None:
            self._token.run_sync_soon(self._nursery.cancel_scope.cancel)

    def cancel(self, attempt: Attempt) -> None:
        """Cancel the coroutine of an attempt. Those submitted before have begun by then."""
        token = self._token
        if token is not None:
            token.run_sync_soon(self._cancel, attempt)

    def _cancel(self, attempt: Attempt) -> None:
        scope = self._scopes.get(attempt)
        if scope is not None:
            scope.cancel("the task was cancelled")

    def _start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        attempt: Attempt,
        outcome: SimpleQueue[_Outcome],
    ) -> None:
        import trio

        assert self._nursery is not None
        self._scopes[attempt] = trio.CancelScope()
        self._nursery.start_soon(self._one, coroutine, attempt, outcome)

    async def _one(
        self,
        coroutine: Coroutine[Any, Any, Any],
        attempt: Attempt,
        outcome: SimpleQueue[_Outcome],
    ) -> None:
        value: Any = None
        error: BaseException | None = None
        scope = self._scopes[attempt]
        try:
            with scope:
                value = await coroutine
            if scope.cancelled_caught:
                error = TaskCancelled()
        except BaseException as raised:  # noqa: BLE001 - whatever a task raises is its result
            error = raised
        del self._scopes[attempt]
        self._waiting.discard(outcome)
        outcome.put((value, error))

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
        for outcome in list(self._waiting):
            outcome.put((None, gone))
