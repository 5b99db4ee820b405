"""What a process writes, cut where lines end, and its last lines: in little memory, however much it is."""

from __future__ import annotations

import re
from collections import deque
from typing import Final

#: So many lines are kept,
LINES_MAX: Final = 50
#: of each so many characters are shown, and so many of all together.
SHOWN_MAX: Final = 200
ALL_SHOWN_MAX: Final = 8192
#: What is longer, in bytes, is no line: it is passed on in pieces.
PIECE_MAX: Final = 1 << 16
_KEPT_MAX: Final = 1024
#: Colours, movements of the cursor, titles of windows.
_ESCAPES: Final = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~]?)"
)


class Tail:
    """The last lines of all that a process has written."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: deque[bytes] = deque(maxlen=LINES_MAX)

    def add(self, whole: bytes) -> None:
        """Take in lines, each with its end; the work does not depend on how many they are."""
        lines = whole.rsplit(b"\n", LINES_MAX + 1)
        del lines[-1]
        for line in lines[-LINES_MAX:]:
            self._lines.append(_cut(line))

    def shown(self, *begun: bytes) -> list[str]:
        """The last lines, and those that have only begun, as text that is safe to show."""
        lines = deque(self._lines, maxlen=LINES_MAX)
        lines.extend(filter(None, begun))
        out: list[str] = []
        room = ALL_SHOWN_MAX
        for line in reversed(lines):
            text = shown(line)
            room -= len(text)
            if room < 0:
                break
            out.append(text)
        return out[::-1]


class Lines:
    """One of the streams of a process: what has come of it, and what may be passed on."""

    __slots__ = ("_begun", "_rest", "_tail")

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._rest = b""  # not passed on yet
        self._begun = b""  # of the same line, passed on before

    @property
    def waiting(self) -> bool:
        """Whether a line has begun that has not been passed on."""
        return bool(self._rest)

    @property
    def begun(self) -> bytes:
        """What there is of a line that has not ended."""
        return self._begun + self._rest

    def feed(self, data: bytes) -> bytes:
        """Take in what was read; whole lines come back, to be passed on in one piece."""
        end = data.rfind(b"\n") + 1
        if not end:
            self._rest += data
            return self.flush() if len(self._rest) >= PIECE_MAX else b""
        whole = self._rest + data[:end]
        self._rest = data[end:]
        self._tail.add(self._begun + whole if self._begun else whole)
        self._begun = b""
        return whole

    def flush(self) -> bytes:
        """What there is of a line, to be passed on although it has not ended."""
        piece, self._rest = self._rest, b""
        self._begun = _cut(self._begun + piece)
        return piece


def _cut(line: bytes) -> bytes:
    """A line as it is kept: of a long one the beginning and the end."""
    if len(line) <= _KEPT_MAX:
        return line
    return line[: _KEPT_MAX // 2] + line[-_KEPT_MAX // 2 :]


def shown(line: bytes) -> str:
    r"""A line as text that does nothing to a terminal, and is not long.

    >>> shown(b"  10 %\r  20 %\x1b[31m red\x1b[0m \x07\xff")
    '  20 % red ··'
    """
    text = line.rstrip(b"\r").rpartition(b"\r")[2].decode(errors="replace")
    text = _ESCAPES.sub("", text).replace("\t", "    ").replace("\ufffd", "·")
    text = "".join(each if each.isprintable() else "·" for each in text)
    if len(text) <= SHOWN_MAX:
        return text
    return f"{text[: SHOWN_MAX // 2]} … {text[3 - SHOWN_MAX // 2 :]}"
