"""What all threads are doing, asked so that nobody gets stuck."""

from __future__ import annotations

import gc
import operator
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

#: Before 3.12 a collection may begin within the call, which holds a lock of the interpreter
#: meanwhile: the finalizers that it runs let another thread go on, and if that one starts a thread,
#: or asks the same, it waits for the lock, and has what this one waits for. So there is none
#: meanwhile. No bytecode is run in between: no other thread sees that collections are off.
_UNDISTURBED: Final[tuple[Callable[[], object], ...]] = (
    gc.disable,
    sys._current_frames,  # noqa: SLF001 - documented
    gc.enable,
)


def current_frames() -> dict[int, FrameType]:
    """The innermost frame of each thread, by the thread's number."""
    if sys.version_info >= (3, 12) or not gc.isenabled():
        return sys._current_frames()  # noqa: SLF001 - documented
    _, found, _ = tuple(map(operator.call, _UNDISTURBED))
    return found  # type: ignore[return-value]  # the second of the three
