"""What a task can ask about its time, and how it is left alone for a while."""

from __future__ import annotations

from contextvars import ContextVar
from math import inf
from numbers import Real
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Final

from trio_dask.errors import TaskCancelled
from trio_dask.runner.asynchronous import AsyncTask, present
from trio_dask.runner.cancelling import find

if TYPE_CHECKING:
    from types import TracebackType

    from trio_dask.messages.ids import Attempt
    from trio_dask.runner.cancelling import Strikes

#: A shield for longer is none: cancelling has to come to an end.
SHIELD_MAX_S: Final = 300.0

#: Until when the present code of an async task is shielded.
_until: Final[ContextVar[float]] = ContextVar("trio_dask_shield", default=inf)


def current_deadline() -> float:
    """Inside a task: how many seconds are left to it, by its limits; `inf` if it has none.

    In an ``async def`` task the deadlines of its own cancel scopes count, too.
    Elsewhere there are no limits.
    """
    task = present.get()
    if task is None or task.scope is None:
        strikes, row = find(get_ident())
        return inf if strikes is None else max(0.0, strikes.ends[row] - monotonic())
    import trio

    left = task.end - monotonic()
    if trio.lowlevel.in_trio_task():
        left = min(left, trio.current_effective_deadline() - trio.current_time())
    return max(0.0, left)


class shield:  # noqa: N801 - it is used like a function
    """Inside a task: the block is not interrupted when the task is cancelled or out of time.

    That comes when the block is left, or after `max` seconds, whichever is first. For what must
    not be torn: a file that is being replaced, a transaction. In an ``async def`` task it is
    the next checkpoint after the block. A task that was cancelled before does not get one, and
    ends there. Inside another one it lasts no longer than that. Outside of tasks nothing happens.

    ``on_cancel="kill"`` asks nobody, and a function in C that holds the interpreter's lock cannot
    be asked: these end with their process all the same.

    Args:
        max: so many seconds at most, up to 300.

    Raises:
        ValueError: that is no such number.
        TaskCancelled: the task was cancelled before, or in the meantime. Let it pass.
    """

    def __init__(self, *, max: float) -> None:  # noqa: A002 - the word that says it
        given: object = max
        seconds = 0.0
        if not isinstance(given, bool) and isinstance(given, Real):
            seconds = float(given)
        if not 0 < seconds <= SHIELD_MAX_S:
            most = f"{SHIELD_MAX_S:g} at most"
            msg = f"shield(max={given!r:.100}): it is a number of seconds above 0, {most}"
            raise ValueError(msg)
        self._max_s = seconds
        self._inner: _Plain | _Async | None = None

    def __enter__(self) -> None:
        if self._inner is not None:
            msg = "a shield is entered once; make another"
            raise RuntimeError(msg)
        task = present.get()
        if task is not None and task.scope is not None:
            self._inner = _Async(task, self._max_s)
            return
        strikes, row = find(get_ident())
        if strikes is not None:
            self._inner = _Plain(strikes, strikes.current[row], self._max_s)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        return False if self._inner is None else self._inner.leave(kind, error, traceback)


class _Plain:
    """In a plain function: a note for those who would interrupt it."""

    def __init__(self, strikes: Strikes, attempt: Attempt, max_s: float) -> None:
        self._strikes = strikes
        self._attempt = attempt
        outer = strikes.shielded_s(attempt)
        self._until = strikes.shield(attempt, monotonic() + max_s, nested=True)
        # It is noted first: whoever asks now finds it, who has asked before is found here.
        if attempt in strikes.flagged and not outer:
            strikes.unshield(attempt, self._until)
            raise TaskCancelled

    def leave(
        self,
        kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> bool:
        strikes, attempt = self._strikes, self._attempt
        strikes.unshield(attempt, self._until)
        if kind is None and strikes.must_stop(attempt):
            raise TaskCancelled
        return False


class _Async:
    """In an async task: a cancel scope that is a shield for as long as that may last."""

    def __init__(self, task: AsyncTask, max_s: float) -> None:
        import trio

        now = monotonic()
        until = min(now + max_s, _until.get())
        assert task.scope is not None
        self._task = task
        # What was cancelled before ends at the next checkpoint, in here.
        shielded = not task.scope.cancel_called and until > now
        self._scope = trio.CancelScope(shield=shielded)
        self._timer = trio.CancelScope()
        self._before = _until.set(until)
        self._until = task.runner.strikes.shield(task.attempt, until if shielded else now)
        if shielded and task.loop is not None:
            task.loop.spawn(self._end, until - now)
        self._scope.__enter__()

    async def _end(self, seconds: float) -> None:
        import trio

        with self._timer:
            await trio.sleep(seconds)
            self._scope.shield = False

    def leave(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        self._timer.cancel("the shield is left")
        _until.reset(self._before)
        self._task.runner.strikes.unshield(self._task.attempt, self._until)
        return bool(self._scope.__exit__(kind, error, traceback))
