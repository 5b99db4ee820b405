"""The last lines of a process's log, kept for people who have no terminal there."""

from __future__ import annotations

import logging
from collections import deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from trio_dask.messages.inquiring import packed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

#: So many lines are kept, each this long at most.
KEPT: Final = 500
_TEXT_MAX: Final = 2_000


class LogLines(logging.Handler):
    """Keeps what is logged; `clock` says when."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._last = clock()
        self._lines: deque[tuple[float, str, str, str]] = deque(maxlen=KEPT)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one line."""
        try:
            text = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                text = f"{text}: {record.exc_info[1]!r}"
        except Exception as error:  # noqa: BLE001 - a line that cannot be made is said to be one
            text = f"a line that cannot be shown: {type(error).__name__}"
        self._lines.append((self._now(), record.levelname, record.name, text[:_TEXT_MAX]))
        last = logging.lastResort
        if last is not None and record.levelno >= last.level and self._speaks(record.name):
            last.handle(record)  # who has set up no logging sees warnings all the same

    def _now(self) -> float:
        """The time; in another thread than the clock's, that of the line before."""
        with suppress(RuntimeError):
            self._last = self._clock()
        return self._last

    def _speaks(self, name: str) -> bool:
        """Whether nobody takes what this logger is told, but those that keep it, of which this is first."""
        logger: logging.Logger | None = logging.getLogger(name)
        kept: list[LogLines] = []
        while logger is not None:
            for each in logger.handlers:
                if not isinstance(each, LogLines):
                    return False
                kept.append(each)
            logger = logger.parent if logger.propagate else None
        return not kept or kept[0] is self

    def lines(self, now: float) -> list[dict[str, Any]]:
        """Those there are, the newest first."""
        return [
            {"ago_s": max(0.0, now - at), "level": level, "logger": name, "text": text}
            for at, level, name, text in reversed(tuple(self._lines))
        ]


def newest(lines: Sequence[dict[str, Any]], n: Any, room: int) -> list[list[Any]]:
    """So many lines, or all, the newest first, as far as there is room for them, in bytes."""
    told: list[list[Any]] = []
    for each in lines[: n if type(n) is int and n >= 0 else KEPT]:
        row = [each["ago_s"], each["level"], each["logger"], each["text"]]
        room -= len(packed(row))
        if room < 0:
            break
        told.append(row)
    return told


@contextmanager
def kept_lines(clock: Callable[[], float]) -> Iterator[LogLines]:
    """Keep what the package logs in this process, until the block ends."""
    handler = LogLines(clock)
    logger = logging.getLogger("trio_dask")
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)
