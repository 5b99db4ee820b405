"""What tasks say: what they print, log, and warn of. Its way to the worker, and how much of it is kept."""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.codec import Message, message
from trio_dask.messages.columns import Floats, Ints, Strs
from trio_dask.messages.inquiring import packed, unpacked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

#: In this variable a process for tasks is told where stdout and stderr end: two names of places.
OUTPUTS: Final = "_TRIO_DASK_OUTPUTS"
#: Where a line comes from: messages have its number.
STREAMS: Final = ("stdout", "stderr", "warning", "log")
STDOUT, STDERR, WARNING, LOG = range(len(STREAMS))

#: Of what an attempt says so many lines are kept, the last ones,
LINES_MAX: Final = 500
#: and of each so many characters.
LINE_MAX: Final = 2_000


@message(123)
class Spoken(Message):
    """What tasks have said since the last such message (runner → worker), a row for each text.

    A text that does not end with a newline goes on with the next one of its stream. `missed` says
    how many lines of its attempt were left out before it; `times` are seconds since 1970.
    """

    attempts: Ints
    tids: Ints
    streams: Ints
    times: Floats
    missed: Ints
    texts: Strs
    PARALLEL: ClassVar = ("attempts", "tids", "streams", "times", "missed", "texts")


class Voice:
    """The last lines that an attempt has said, on all streams together."""

    __slots__ = ("begun", "lines", "missed")

    def __init__(self) -> None:
        #: Whole lines: stream, time, text.
        self.lines: deque[tuple[int, float, str]] = deque()
        #: Of each stream the line that has not ended: since when, and its text.
        self.begun: dict[int, tuple[float, str]] = {}
        #: Lines that are not kept any more.
        self.missed = 0

    def add(self, stream: int, at: float, text: str) -> None:
        r"""Take in some text; the work does not depend on how many lines it has.

        >>> voice = Voice()
        >>> voice.add(STDOUT, 1.0, "one\nt")
        >>> voice.add(STDOUT, 2.0, "wo\n")
        >>> voice.lines
        deque([(0, 1.0, 'one'), (0, 1.0, 'two')])
        """
        *lines, rest = text.rsplit("\n", LINES_MAX + 1)
        since, begun = self.begun.pop(stream, (at, ""))
        if lines and "\n" in lines[0]:
            self.missed += lines.pop(0).count("\n") + 1
            since, begun = at, ""
        for line in lines:
            self.lines.append((stream, since, _continued(begun, line).rstrip("\r")))
            since, begun = at, ""
        if rest or begun:
            self.begun[stream] = since, _continued(begun, rest)
        while len(self.lines) > LINES_MAX:
            self.lines.popleft()
            self.missed += 1

    def rows(self) -> list[tuple[int, float, str]]:
        """All lines, each with its end if it has one, those that have only begun last."""
        ended = [(stream, at, f"{text}\n") for stream, at, text in self.lines]
        return ended + [(stream, at, text) for stream, (at, text) in self.begun.items()]


def _continued(begun: str, more: str) -> str:
    r"""A line, as it is kept: of one that is written over and over, as progress is, the last state.

    >>> _continued("50 %", "\r60 %"), _continued("done\r", "")
    ('60 %', 'done\r')
    """
    line = begun + more
    if "\r" in line:
        bare = line.rstrip("\r")
        line = bare.rpartition("\r")[2] + "\r" * (len(bare) < len(line))
    if len(line) <= LINE_MAX:
        return line
    half = LINE_MAX // 2 - 2
    return f"{line[:half]} … {line[-half:]}"


class LogLine(NamedTuple):
    """A line that a task has said."""

    #: When it began, in seconds since 1970 by the clock of its host.
    time: float
    #: ``stdout``, ``stderr``, ``warning``, or ``log``: a record of `logging`.
    stream: str
    text: str


class LastSaid(NamedTuple):
    """The last lines of a task, as one worker knows them."""

    attempt: int = 0
    missed: int = 0
    lines: tuple[LogLine, ...] = ()
    worker: str = ""

    def packed(self) -> bytes:
        """The answer of a worker."""
        lines = [[line.stream, line.time, line.text] for line in self.lines]
        return packed({"attempt": self.attempt, "missed": self.missed, "lines": lines})


def last_said(said: Mapping[str, bytes]) -> LastSaid:
    """Of what workers say, by address, what is about the last attempt that has said anything.

    Raises:
        RemoteProtocolError: it is not what a worker says.
    """
    found = LastSaid()
    for address, blob in said.items():
        match unpacked(blob):
            case {"attempt": int(attempt), "missed": int(missed), "lines": list(rows)}:
                if attempt > found.attempt:
                    found = LastSaid(attempt, missed, tuple(map(_line, rows)), address)
            case _:
                msg = "words of a task that are none"
                raise RemoteProtocolError(msg)
    return found


def _line(row: Any) -> LogLine:
    match row:
        case [str(stream), float(at), str(text)] if math.isfinite(at):
            return LogLine(at, stream, text)
        case _:
            msg = "a line of a task that is none"
            raise RemoteProtocolError(msg)
