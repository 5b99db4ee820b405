"""What threads are doing, asked while others begin and garbage is collected."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from trio_dask.runner.frames import caller, current_frames, frame_inside

if TYPE_CHECKING:
    from collections.abc import Generator

#: Each question makes a collection begin; what is collected lets another thread go on.
_SCRIPT = """
import gc, sys, threading, time
from trio_dask.runner.frames import current_frames

class Garbage:
    def __init__(self):
        self.me = self
    def __del__(self):
        time.sleep(0)

over = threading.Event()

def begin_threads():
    while not over.is_set():
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()

def ask(count):
    for _ in range(count):
        Garbage()
        assert threading.get_ident() in current_frames()

gc.set_threshold(1)
starter = threading.Thread(target=begin_threads)
askers = [threading.Thread(target=ask, args=(300,)) for _ in range(2)]
for each in (starter, *askers):
    each.start()
for each in askers:
    each.join()
over.set()
starter.join()
assert gc.isenabled()
print("over")
"""


def test_nobody_gets_stuck() -> None:
    """Neither who asks, nor who begins a thread meanwhile, whatever finalizers do."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, check=False, timeout=60, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")


#: Each step from a frame to its caller makes a collection begin, in which the others return.
_WALK = """
import gc, sys, threading, time
from trio_dask.runner.frames import caller, current_frames, frame_inside

class Garbage:
    def __init__(self):
        self.me = self
    def __del__(self):
        time.sleep(1e-5)

over = threading.Event()

def calls(depth):
    return calls(depth - 1) if depth else sum((1, 2, 3))

def work():
    while not over.is_set():
        calls(6)
        calls(20)
        [calls(2) for _ in range(3)]

sys.setswitchinterval(1e-5)
workers = [threading.Thread(target=work) for _ in range(2)]
for each in workers:
    each.start()
steps = 0
while steps < 300:
    frames = current_frames()
    for each in workers:
        frame, depth = frames.pop(each.ident), 0
        while frame is not None:
            assert type(frame.f_code.co_name) is str
            assert depth < 40
            gc.set_threshold(100_000)
            Garbage(), Garbage(), Garbage()
            gc.set_threshold(1)
            frame, depth, steps = caller(frame), depth + 1, steps + 1
over.set()
for each in workers:
    each.join()
print("over")
"""


def test_nobody_is_followed_to_where_they_are_no_more() -> None:
    """Threads that return from their calls while somebody looks at these are no danger."""
    done = subprocess.run(
        [sys.executable, "-c", _WALK], capture_output=True, check=False, timeout=60, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "over\n", "")


def test_what_is_inside() -> None:
    """The frame of what is paused; none where it is over, or something else."""

    async def paused() -> None: ...

    def generates() -> Generator[int]:
        yield 1

    coroutine, generator = paused(), generates()
    frames = [frame_inside(coroutine), frame_inside(generator)]
    assert [frame and frame.f_code for frame in frames] == [paused.__code__, generates.__code__]
    coroutine.close()
    generator.close()
    assert [frame_inside(each) for each in (coroutine, generator, 7)] == [None] * 3


def test_who_has_called() -> None:
    """The caller's frame, and nobody for the outermost."""
    frame = current_frames()[threading.get_ident()]
    seen = []
    while (above := caller(frame)) is not None:
        assert above is frame.f_back
        seen.append(above.f_code.co_name)
        frame = above
    assert "test_who_has_called" in seen
    assert frame.f_back is None


def test_who_switched_collections_off_keeps_them_off() -> None:
    """They are as they were; and all threads are there, this one with this function."""
    for enabled in (True, False):
        (gc.enable if enabled else gc.disable)()
        try:
            frames = current_frames()
            assert gc.isenabled() is enabled
        finally:
            gc.enable()
        names = {frame.f_code.co_name for frame in frames.values()}
        assert threading.get_ident() in frames
        assert names & {
            "undisturbed",
            "current_frames",
            "test_who_switched_collections_off_keeps_them_off",
        }
        del frames
