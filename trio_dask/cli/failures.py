"""From exceptions, which may be nested in groups, to one line for people and an exit code."""

from __future__ import annotations

import errno
import os
import traceback
from typing import TYPE_CHECKING, Final

from trio_dask.errors import ConfigError, TrioDaskError

if TYPE_CHECKING:
    from collections.abc import Iterator

FAILED: Final = 1
USAGE: Final = 2
#: What to do about limits of the system, wherever in a line, or in a child's last words, they are.
_HINTS: Final = {
    errno.EMFILE: "; `ulimit -n` is the limit on open files",
    errno.EAGAIN: "; if that is the limit on processes, it is `ulimit -u`",
}


class NobodyReads(Exception):
    """Whoever reads our output, as `head`, has enough of it: no failure."""


def leaves(error: BaseException) -> Iterator[BaseException]:
    """The errors in a group of groups, in order; of an error that is no group, itself."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from leaves(each)
    elif not isinstance(error, KeyboardInterrupt | SystemExit | NobodyReads):
        yield error


def failure_line(error: BaseException) -> str:
    """All that went wrong, in one line; empty if it was only Ctrl-C, or nobody reads it."""
    line = "; ".join(dict.fromkeys(map(_describe, leaves(error))))
    hints = [hint for number, hint in _HINTS.items() if os.strerror(number) in line]
    return line + "".join(hint for hint in hints if hint not in line)


def exit_code(error: BaseException) -> int:
    """2 if only the words or settings were at fault, 0 if nothing went wrong, else 1."""
    from cyclopts import CycloptsError  # of a command, which has it already

    kinds = [isinstance(each, ConfigError | CycloptsError) for each in leaves(error)]
    if not kinds:
        return 0
    return USAGE if all(kinds) else FAILED


def _describe(error: BaseException) -> str:
    from cyclopts import CycloptsError, UnusedCliTokensError

    text = " ".join(str(error).split())
    if isinstance(error, UnusedCliTokensError):
        command = " ".join(error.command_chain or ())
        extra = " ".join(error.unused_tokens or ())
        return f"{command} takes no {extra!r}; `trio-dask {command} --help` shows what it takes"
    if isinstance(error, TrioDaskError | CycloptsError) and text:
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, OSError) and text:
        return text
    if isinstance(error, RuntimeError) and "start new thread" in text:
        return f"{text}: {os.strerror(errno.EAGAIN)}"
    # Not meant to happen, so say where it did.
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"internal error: {type(error).__name__}: {text}{place}"
