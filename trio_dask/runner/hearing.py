"""Hears what tasks say: what they print, log, and warn of.

All of it goes where it always went, and is heard on its way if it is a task that says it: in its
own thread, or in what it has started on the loop. Who says nothing pays nothing. What is written
to a descriptor, as by a process that a task starts, is nobody's: that is in the output of the
whole process.
"""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from time import monotonic, time
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.speech import LOG, STDERR, STDOUT, WARNING
from trio_dask.runner.nests import task_here

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

#: A line after such a pause is told at once, others a moment later, and together.
_PAUSE_S: Final = 0.005
#: Nor is the process's end missed because another thread writes something else: so long is waited.
_LAST_S: Final = 0.1
#: What writes a warning is a line of this module, in whichever way it came about.
_WARNINGS: Final = ("warnings", "_py_warnings")
_LINE: Final = logging.Formatter("%(name)s - %(levelname)s - %(message)s")

#: Where our worker writes what we write to the two streams, if we are a process of its own.
passed_on: Final = list[str]()
#: How many runners of this process listen; none in a child that a task has forked.
_listeners = 0
_told_at = 0.0


class Overheard:
    """A stream that is heard while it is written; everything else is up to the stream itself.

    It may be given other methods, as libraries that listen, too, do with streams.
    """

    def __init__(self, stream: Any, number: int) -> None:
        self._stream = stream
        self._number = number

    def write(self, text: str) -> int:
        """Write it, and let it be heard."""
        count: int = self._stream.write(text)
        if _listeners:
            self._hear(text)
        return count

    def writelines(self, lines: Iterable[str]) -> None:
        """Write all of them."""
        for line in lines:
            self.write(line)

    def _hear(self, text: str) -> None:
        who = sys._getframe(2).f_globals.get("__name__")  # noqa: SLF001 - documented
        if who == "logging" and logging.getLogRecordFactory() is _hear_record:
            return  # it was heard as a record
        say(WARNING if who in _WARNINGS else self._number, text)

    def __getattr__(self, name: str) -> Any:
        if name == "_stream":  # it is being copied, and has none yet
            raise AttributeError(name)
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def __repr__(self) -> str:
        return repr(self._stream)


def say(stream: int, text: str, at: float | None = None) -> None:
    """Whoever runs here says something; it counts if that is a task."""
    global _told_at  # noqa: PLW0603 - one for the process
    found = task_here()
    if found is None or not text:
        return
    slots, task = found
    slots.outbox.speech.add(task[2], task[3], stream, time() if at is None else at, text)
    now = monotonic()
    if "\n" in text and now - _told_at > _PAUSE_S:
        _told_at = now
        slots.outbox.flush(_LAST_S)  # at once: it may be the last thing that the process does
    else:
        slots.outbox.wake()


_make_record: Callable[..., logging.LogRecord] = logging.LogRecord


def _hear_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    """A record that somebody is about to log: made as ever, and heard, wherever it goes."""
    record = _make_record(*args, **kwargs)
    if _listeners and task_here() is not None:
        try:
            text = _LINE.format(record)
        except Exception as error:  # noqa: BLE001 - a line that cannot be made is said to be one
            text = f"{record.name} - {record.levelname} - a line that cannot be shown: {error!r}"
        say(LOG, f"{text}\n", record.created)
    return record


@contextmanager
def heard() -> Iterator[None]:
    """Tasks of this process are heard while the block lasts."""
    listen()
    try:
        yield
    finally:
        listen_no_more()


def listen() -> None:
    """One runner more listens."""
    global _listeners, _make_record  # noqa: PLW0603 - streams and loggers are the process's, too
    _listeners += 1
    hear_streams()
    factory = logging.getLogRecordFactory()
    if factory is not _hear_record:
        _make_record = factory
        logging.setLogRecordFactory(_hear_record)


def hear_streams() -> None:
    """Hear what is written to the streams of now: a program may have put others there."""
    for name, number in _STREAMS.items():
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, Overheard):
            setattr(sys, name, Overheard(stream, number))


def listen_no_more() -> None:
    """One less: with the last, all is as it was, but for what somebody else has changed since."""
    global _listeners  # noqa: PLW0603
    _listeners = max(0, _listeners - 1)
    if _listeners:
        return
    for name in _STREAMS:
        stream = getattr(sys, name)
        if isinstance(stream, Overheard):
            setattr(sys, name, stream._stream)  # noqa: SLF001 - it is ours
    if logging.getLogRecordFactory() is _hear_record:
        logging.setLogRecordFactory(_make_record)


def _forked() -> None:
    """In a child that a task has forked: what it says is its own, and there is nobody to tell."""
    global _listeners  # noqa: PLW0603
    _listeners = 0


_STREAMS: Final = {"stdout": STDOUT, "stderr": STDERR}
os.register_at_fork(after_in_child=_forked)
