"""What all threads are doing, asked so that nobody gets stuck, and the interpreter stays whole.

Before 3.12 a collection of garbage may begin within a call of the interpreter's own, and the
finalizers that it runs let another thread go on. Two of these calls are no good for that:

- Asking for the frames of all threads holds a lock of the interpreter. If the other thread starts
  a thread then, or asks the same, it waits for the lock, and has what this one waits for.
- Asking a frame for its caller makes an object for that. If the other thread has returned from it
  by then, the object is of memory that is somebody else's: the process dies, now or later.

So there is no collection meanwhile.
"""

from __future__ import annotations

import gc
import operator
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

T = TypeVar("T")

#: Since then there are collections between two steps of a program only.
_IS_SAFE: Final = sys.version_info >= (3, 12)


def undisturbed(get: Callable[[], T]) -> T:
    """What a function of the interpreter's own gives that does not raise."""
    if _IS_SAFE or not gc.isenabled():
        return get()
    # No bytecode is run in between: no other thread sees that collections are off.
    steps: tuple[Callable[[], object], ...] = (gc.disable, get, gc.enable)
    _, found, _ = tuple(map(operator.call, steps))
    return cast("T", found)


def current_frames() -> dict[int, FrameType]:
    """The innermost frame of each thread, by the thread's number."""
    return undisturbed(sys._current_frames)  # noqa: SLF001 - documented


def caller(frame: FrameType) -> FrameType | None:
    """Who has called this, in whichever thread; None if nobody has."""
    return frame.f_back if _IS_SAFE else undisturbed(partial(getattr, frame, "f_back"))


def frame_inside(paused: Any) -> FrameType | None:
    """That of a coroutine or generator; None if it is over, or something else."""
    for name in ("cr_frame", "gi_frame"):
        frame: FrameType | None = undisturbed(partial(getattr, paused, name, None))
        if frame is not None:
            return frame
    return None
