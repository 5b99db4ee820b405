"""Orphans: processes that tasks have started, and that have outlived the runner they came from.

Killing a runner kills its group, but not what has left that: a daemon, a session of its
own. On Linux such orphans come to the worker process, if it is a process of its own, and
are ended here. Which runner they came from is in their environment, as they inherit that.
"""

from __future__ import annotations

import ctypes
import os
import sys
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import TYPE_CHECKING, Final

import psutil
import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

#: The variable that says which runner a process came from.
MARK: Final = "_TRIO_DASK_RUNNER"
_PR_SET_CHILD_SUBREAPER: Final = 36
#: How long orphans may take to be gone after they were killed, and how often it is looked.
_GONE_S: Final = 2.0
_LOOK_AGAIN_S: Final = 0.002
#: Children of this process that their nannies look after.
_runners: Final[set[int]] = set()
#: This process, if orphans come to it: a fork of it is another.
_adopting: Final[set[int]] = set()


@contextmanager
def looked_after(pid: int) -> Iterator[None]:
    """As long as the block lasts, a child is no orphan."""
    _runners.add(pid)
    try:
        yield
    finally:
        _runners.discard(pid)


@asynccontextmanager
async def adopting_orphans() -> AsyncIterator[None]:
    """Let orphans come to this process, where that can be had, and end those left with the block.

    Only for a process that is a worker and nothing else: it ends children that it does not know.
    """
    if _adopt(1):
        _adopting.add(os.getpid())
    try:
        yield
    finally:
        with trio.CancelScope(shield=True):
            await end_orphans()
        _adopting.discard(os.getpid())
        _adopt(0)


def _adopt(yes: int) -> bool:
    if sys.platform.startswith("linux"):
        with suppress(OSError, AttributeError):
            return bool(ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, yes, 0, 0, 0) == 0)
    return False


async def end_orphans(mark: str = "") -> None:
    """Kill the orphans of one runner, or all of them, and wait until they are gone."""
    if os.getpid() not in _adopting:
        return
    with trio.move_on_after(_GONE_S):
        while orphans := _orphans(mark):
            for each in orphans:
                with suppress(psutil.Error):
                    each.kill()
            await trio.sleep(_LOOK_AGAIN_S)
            reap_orphans()


def _orphans(mark: str) -> list[psutil.Process]:
    """Living children that nobody looks after, of those with this mark."""
    found: list[psutil.Process] = []
    with suppress(psutil.Error):
        for child in psutil.Process().children():
            if child.pid in _runners:
                continue
            with suppress(psutil.Error):
                if child.status() == psutil.STATUS_ZOMBIE:
                    _reap(child.pid)
                elif not mark or child.environ().get(MARK) == mark:
                    found.append(child)
    return found


def reap_orphans() -> None:
    """Let go of orphans that have ended: the system remembers them until then."""
    if os.getpid() not in _adopting:
        return
    with suppress(ChildProcessError):
        while True:
            ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if ended is None or ended.si_pid in _runners:
                return  # there is none, or one whose nanny will see to it first
            _reap(ended.si_pid)


def _reap(pid: int) -> None:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
