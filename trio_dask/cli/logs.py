"""Log lines on stderr: time - logger - level - message; colours only on a terminal."""

from __future__ import annotations

import json
import logging
import os
import sys
from datetime import UTC, datetime
from typing import Final, Literal

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

_FORMAT: Final = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
_COLOURS: Final = {
    logging.DEBUG: "\x1b[2m",
    logging.WARNING: "\x1b[33m",
    logging.ERROR: "\x1b[31m",
    logging.CRITICAL: "\x1b[1;31m",
}
_PLAIN: Final = "\x1b[0m"


class ColourFormatter(logging.Formatter):
    """Marks what is worse than information, for eyes on a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, in the colour of its level."""
        return in_colour(super().format(record), record.levelno)


class JsonFormatter(logging.Formatter):
    """An object for each event, in one line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        """The line: when, who, how bad, what."""
        at = datetime.fromtimestamp(record.created, UTC)
        fields: dict[str, object] = {
            "time": at.isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": " ".join(record.getMessage().split()),
            "pid": record.process,
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields, ensure_ascii=False, default=str)


def in_colour(line: str, level: int) -> str:
    """The line, marked if stderr is for eyes and the level worse than information."""
    colour = _COLOURS.get(level)
    wanted = colour and sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return f"{colour}{line}{_PLAIN}" if wanted else line


def log_to_stderr(level: LogLevel, how: str = "text") -> None:
    """Send what the package logs to stderr, from `level` on.

    What is not shown there is logged all the same, for those who ask for the last lines of it.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(level.upper())
    handler.setFormatter(JsonFormatter() if how == "json" else ColourFormatter(_FORMAT))
    logger = logging.getLogger("trio_dask")
    logger.addHandler(handler)
    logger.setLevel(min(logging.INFO, handler.level))
    # A lost line of the log must not become a traceback on the same stderr.
    logging.raiseExceptions = False
