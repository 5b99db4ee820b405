"""Where time goes: a thread that looks, some times a second, at what tasks are doing.

It looks at the calls of each thread that runs a task, and counts; now and then the counts go to
the worker. While nothing runs it sleeps, and nothing on the way of a task knows of it but one
look at `resting` for each message with tasks.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, thread_time
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.inquiring import Profiled, packed
from trio_dask.messages.profiles import DEPTH_MAX, Frame, Profile
from trio_dask.runner.callstacks import is_import, running

if TYPE_CHECKING:
    from types import CodeType

    from trio_dask.runner.slots import Slots

#: Those who have just begun are told of sooner: after so long, and then twice that.
_FIRST_S: Final = 0.25
#: After so many looks at which nothing ran it rests.
_EMPTY_MAX: Final = 20
#: Of what was seen in that time, so many nodes are told: those seen most.
_NODES_MAX: Final = 1_000
#: Looking takes this share of a processor; where it would take more, it is done less often: by
#: up to this factor. Each look counts for the time that has passed since the one before.
_SHARE_MAX: Final = 0.01
_EVERY_MAX: Final = 10
#: So many intervals at most pass without a look, as far as anybody can tell.
_PASSED_MAX: Final = 6_000
#: When tasks only wait for others, there is no hurry, seconds.
_SLOW_S: Final = 0.1

#: How often code was seen, and what it called.
_Counts = dict["CodeType", Any]


class Sampler:
    """Looks at the slots of a runner every `interval_s`, 0: never; tells what it saw every `tell_s`."""

    def __init__(self, interval_s: float, tell_s: float) -> None:
        self._interval_s: Final = interval_s
        self._tell_s_max: Final = tell_s
        self._tell_s = min(tell_s, _FIRST_S)
        self._slots: Slots | None = None
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._thread: Thread | None = None
        self._ended = False
        #: Whether `wake` is to be called when there are tasks.
        self.resting = interval_s > 0
        self._seen: dict[str, list[Any]] = {}  # of each function: how often, and its calls
        self._told_at = self._used_s = 0.0
        self._every_s = interval_s

    def wake(self, slots: Slots) -> None:
        """There are tasks: look again."""
        self.resting = False
        if self._thread is None:
            self._slots = slots
            self._thread = Thread(target=self._run, name="profiler", daemon=True)
            self._thread.start()
        else:
            self._bell.put(None)

    def close(self) -> None:
        """Look no more."""
        self.resting, self._ended = False, True
        self._bell.put(None)

    def _run(self) -> None:
        empty, slots, interval_s = 0, self._slots, self._interval_s
        assert slots is not None
        self._told_at = looked = monotonic()
        self._used_s = thread_time()
        while not self._ended:
            # Who runs lets us wait, for long if it holds the interpreter: that time is its own.
            passed = min(max(1, int((monotonic() - looked) / interval_s)), _PASSED_MAX)
            looked += passed * interval_s
            empty = 0 if self.look(passed) else empty + 1
            now = monotonic()
            if now - self._told_at >= self._tell_s:
                self._tell(now)
            if empty < _EMPTY_MAX:
                self._wait(max(0.0, looked + self._every_s - now))
                continue
            if slots.has_begun():
                self._wait(_SLOW_S)
            else:
                self._rest()
                empty = 0
            looked = monotonic() - interval_s
        self._slots = None

    def _wait(self, seconds: float | None) -> bool:
        """Whether somebody has rung meanwhile."""
        try:
            self._bell.get(timeout=seconds)
        except Empty:
            return False
        return True

    def _rest(self) -> None:
        """Until there are tasks; the last counts are told when it is time for that."""
        self.resting = not self._ended
        assert self._slots is not None
        if self._slots.queue.heap:  # they came at the very last moment
            self.resting = False
            return
        if self._seen:
            if self._wait(max(0.0, self._told_at + self._tell_s - monotonic())):
                return
            self._tell(monotonic())
        self._wait(None)
        self._told_at, self._used_s = monotonic(), thread_time()

    def look(self, passed: int = 1) -> int:
        """Count what runs now, for so many intervals; how many tasks that was."""
        slots = self._slots
        assert slots is not None
        count = 0
        for task, path, waits in running(slots):
            if waits or not path:
                continue
            count += 1
            node = self._seen.setdefault(task[4].name, [0, {}])
            node[0] += passed
            for frame in path[:DEPTH_MAX]:
                calls: _Counts = node[1]
                code = frame.f_code
                below = calls.get(code)
                if below is None:
                    below = calls[code] = [0, {}]
                below[0] += passed
                node = below
        return count

    def _tell(self, now: float) -> None:
        """Tell what was seen since the last time, and see what that has cost."""
        used = thread_time()
        share = (used - self._used_s) / max(now - self._told_at, self._interval_s)
        if share > _SHARE_MAX:
            self._every_s = min(2 * self._every_s, _EVERY_MAX * self._interval_s)
        elif share < _SHARE_MAX / 3:
            self._every_s = max(self._every_s / 2, self._interval_s)
        self._told_at, self._used_s = now, used
        self._tell_s = min(2 * self._tell_s, self._tell_s_max)
        seen, self._seen = self._seen, {}
        if not seen:
            return
        profile = Profile()
        for name, (count, calls) in seen.items():
            _fill(profile, [Frame(name)], count, calls)
        assert self._slots is not None
        self._slots.outbox.post(Profiled([packed(profile.columns(_NODES_MAX))]))


def _fill(profile: Profile, path: list[Frame], count: int, calls: _Counts) -> None:
    """Add a node with all below it."""
    profile.add(path, count - sum(each[0] for each in calls.values()))
    for code, (inner, more) in calls.items():
        _fill(profile, path if is_import(code) else [*path, frame_of(code)], inner, more)


def frame_of(code: CodeType) -> Frame:
    """What is told of code."""
    return Frame(code.co_qualname, code.co_filename, code.co_firstlineno)
