"""What threads are doing, asked while others begin and garbage is collected."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

from trio_dask.runner.frames import current_frames

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
        assert names & {"current_frames", "test_who_switched_collections_off_keeps_them_off"}
        del frames
