"""Stopping a task that runs: it is asked first, then an exception is raised in it.

A thread can be interrupted from outside in two ways: the main thread by a signal, which
also ends a sleep or the waiting for a lock, and any other by an exception that it finds
when it next runs Python code. Neither must hit anything but the function it is meant
for: not the next task of the slot, not our own code, not a lock half taken.
"""

from __future__ import annotations

import signal
from math import inf
from threading import get_ident
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final

from trio_dask.errors import TaskCancelled
from trio_dask.runner.frames import caller, current_frames

if TYPE_CHECKING:
    from types import FrameType

    from trio_dask.messages.ids import Attempt

#: Code in which an exception out of nowhere leaves a lock taken, or a module half made.
_DELICATE: Final = (
    "_frozen_importlib",
    "_frozen_importlib_external",
    "importlib",
    "logging",
    "threading",
    "trio_dask",
    "trio",
)
#: But these are made to be interrupted: they wait.
_WAITING: Final = {
    ("threading", "wait"),
    ("threading", "wait_for"),
    ("threading", "join"),
    ("threading", "_wait_for_tstate_lock"),
    ("trio_dask.runner.hearing", "write"),  # for who reads what is printed
}
#: These only call functions of users, whose end is theirs.
_CALLING: Final = {
    ("trio_dask.runner.chunks", "call"),
    ("trio_dask.runner.chunks", "call_rows"),
    ("trio_dask.runner.chunks", "<listcomp>"),
    ("trio_dask.runner.graphs", "__call__"),
}
#: These do more than that, before and after the call.
_AROUND: Final = {
    ("trio_dask.runner.actors", "call_actor"),
    ("trio_dask.runner.actors", "method"),
}
#: Where functions are called.
_SLOTS: Final = "trio_dask.runner.slots"
_CALL: Final = "_call"
_PAUSE_S: Final = 0.0005

#: Of all runners in this process: one, unless they live in the worker's.
_present: Final[list[Strikes]] = []


class Strikes:
    """What each thread for tasks runs, and who is to be stopped. Threads are called slots here.

    Slots write `current`, the reader writes `struck`: each says what it is about to do
    before it looks at what the other does, so one of the two notices the other.
    """

    __slots__ = (
        "aside", "current", "ends", "flagged", "hit", "idents", "main", "shields", "struck", "times",
        "wanted",
    )  # fmt: skip

    def __init__(self, slots: int) -> None:
        self.current: list[Attempt] = [0] * slots
        self.struck: list[Attempt] = [0] * slots
        self.ends = [inf] * slots  # by when, on the monotonic clock, what runs there is to end
        self.idents = [0] * slots
        self.flagged: set[Attempt] = set()  # asked to stop
        self.hit: set[Attempt] = set()  # in which an exception was raised
        self.times: dict[Attempt, int] = {}  # how often that was tried
        self.aside: set[Attempt] = set()  # attempts that have begun and have no thread now
        self.shields: dict[Attempt, list[float]] = {}  # until when it is left alone
        self.main = False  # whether slot 0 is the main thread
        self.wanted: Attempt = 0  # by the signal that is on its way
        _present.append(self)

    def close(self) -> None:
        """The runner has ended."""
        if self in _present:
            _present.remove(self)

    def seat(self, row: int) -> None:
        """There is one more thread."""
        while len(self.current) <= row:
            self.struck.append(0)
            self.ends.append(inf)
            self.idents.append(0)
            self.current.append(0)

    def sit(self, row: int) -> None:
        """The present thread has this row, and none of those that ended before."""
        ident = get_ident()
        for other, known in enumerate(self.idents):
            if known == ident:
                self.idents[other] = 0
        self.idents[row] = ident

    # ------------------------------------------------------------ the reader's side

    def ask(self, attempt: Attempt) -> None:
        """Let it know that it is to stop, when it looks."""
        if len(self.flagged) > 2 * len(self.current):  # some had ended by then
            self.flagged.intersection_update([*self.current, *self.aside])
        self.flagged.add(attempt)

    def shielded_s(self, attempt: Attempt) -> float:
        """So many seconds longer it is left alone, at most."""
        until = self.shields.get(attempt)
        return max(0.0, max(until) - monotonic()) if until else 0.0

    def must_stop(self, attempt: Attempt) -> bool:
        """Whether it is to stop, and now."""
        return attempt in self.flagged and not self.shielded_s(attempt)

    def strike(self, attempt: Attempt) -> None:
        """Raise `TaskCancelled` in it, if this is a good moment; else try again later."""
        if self.shields and self.shielded_s(attempt):
            return
        try:
            slot = self.current.index(attempt)
        except ValueError:
            return
        for ended in [each for each in self.times if each not in self.current]:
            del self.times[ended]
        self.times[attempt] = self.times.get(attempt, 0) + 1
        ident = self.idents[slot]
        if slot == 0 and self.main:
            self.wanted = attempt
            signal.pthread_kill(ident, signal.SIGINT)
            return
        if _is_delicate(current_frames().get(ident)):
            return
        self.struck[slot] = attempt
        if self.current[slot] == attempt:
            import ctypes  # few ever need it, and it takes a while

            self.hit.add(attempt)
            set_exception = ctypes.pythonapi.PyThreadState_SetAsyncExc
            set_exception(ctypes.c_ulong(ident), ctypes.py_object(TaskCancelled))
        self.struck[slot] = 0

    def stuck(self) -> bool:
        """Whether something that runs was to stop, and has not: it may be in a call without end."""
        times = self.times
        return bool(times) and any(times.get(each, 0) > 1 for each in self.current)

    def on_signal(self, _number: int, frame: FrameType | None) -> None:
        """In the main thread, wherever it is."""
        attempt, self.wanted = self.wanted, 0
        if not self.must_stop(attempt):
            return
        if self.current[0] == attempt and not _is_delicate(frame):
            self.hit.add(attempt)
            raise TaskCancelled

    # ------------------------------------------------------------ the slots' side

    def shield(self, attempt: Attempt, until: float, *, nested: bool = False) -> float:
        """Leave it alone until then; inside another shield not longer than that."""
        others = self.shields.get(attempt)
        if others and nested:
            until = min(until, max(others))
        self.shields[attempt] = [*(others or ()), until]
        return until

    def unshield(self, attempt: Attempt, until: float) -> None:
        """That is over."""
        left = list(self.shields.get(attempt, ()))
        if until in left:
            left.remove(until)
        if left:
            self.shields[attempt] = left
        else:
            self.shields.pop(attempt, None)

    def settle(self, slot: int) -> None:
        """The slot runs nothing: what was still meant for it arrives now, and is dropped.

        It may have been struck again while it left its function: where that closes a file or
        frees memory, other threads go on, and nothing raised in it arrives until it is out.
        So there are two at most, of which one may come before anything here has begun.
        """
        attempt = self.struck[slot]
        while True:
            try:
                while attempt and self.struck[slot] == attempt:
                    sleep(_PAUSE_S)
                for _ in range(10):
                    _moment()
            except TaskCancelled:
                continue
            return

    def outcome(self, attempt: Attempt, error: BaseException | None) -> bool:
        """Whether the end of an attempt counts as its being stopped.

        A value counts unless an exception was raised in it, which it may have swallowed; an
        error of its own always does.
        """
        flagged, hit = attempt in self.flagged, attempt in self.hit
        self.flagged.discard(attempt)
        self.hit.discard(attempt)
        self.shields.pop(attempt, None)
        return flagged and (hit if error is None else isinstance(error, TaskCancelled))


def _moment() -> None:
    """A moment in which a thread finds what was raised in it."""


def _is_delicate(frame: FrameType | None) -> bool:
    """Whether a thread that is there must not be disturbed: it is in, or called from, such code."""
    inner = frame
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name == _SLOTS:
            # The innermost: in a function without frames, as `time.sleep`, if it is the call.
            return frame is inner and frame.f_code.co_name != _CALL
        if name.partition(".")[0] in _DELICATE:
            place = name, frame.f_code.co_name
            outer = frame is not inner and place in _AROUND
            if not (outer or place in _CALLING or place in _WAITING):
                return True
        frame = caller(frame)
    return True


def check_cancelled() -> None:
    """Inside a task: end here if the task was cancelled. Elsewhere nothing happens.

    For functions that run for long, and for those submitted with ``on_cancel="cooperate"``,
    which are stopped nowhere else.

    Raises:
        TaskCancelled: it was. Let it pass.
    """
    strikes, row = find(get_ident())
    if strikes is not None and strikes.must_stop(strikes.current[row]):
        raise TaskCancelled


def find(ident: int) -> tuple[Strikes | None, int]:
    """Whose thread this is, and its row there, if it runs a task."""
    for strikes in _present:
        if ident in strikes.idents:
            row = strikes.idents.index(ident)
            if strikes.current[row]:
                return strikes, row
    return None, 0
