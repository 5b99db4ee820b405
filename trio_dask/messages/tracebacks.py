"""Tracebacks from their text: what a task's process has printed, as an object again."""

from __future__ import annotations

import re
import sys
from types import FrameType, TracebackType
from typing import Final

_FRAME: Final = re.compile(r'^  File "(.+)", line (\d+), in (.+)$', re.MULTILINE)
#: What a line's number may be; text from elsewhere may say anything.
_LINE_MAX: Final = 2**31 - 1
_DIGITS: Final = 10


def rebuild_traceback(text: str) -> TracebackType | None:
    """A traceback with these frames, for tools that print them; None if there are none.

    Its frames have file, line and name, nothing else. Source lines are shown as far as the
    files are here.
    """
    rebuilt: TracebackType | None = None
    for filename, line, name in reversed(_FRAME.findall(text)):
        frame = _frame(filename, name)
        # Without an instruction there are no columns, and the line is the one given.
        rebuilt = TracebackType(rebuilt, frame, -1, min(int(line[:_DIGITS]), _LINE_MAX))
    return rebuilt


def _frame(filename: str, name: str) -> FrameType:
    """A frame of nothing, that says it is from there."""
    code = compile("_getframe()", filename, "eval").replace(co_name=name)
    frame: FrameType = eval(code, {"_getframe": sys._getframe, "__name__": name})  # noqa: SLF001
    return frame
