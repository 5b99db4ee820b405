"""The command line: ``trio-dask``."""

from __future__ import annotations

import gc
import signal
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["main"]

#: While a command starts, nearly all that is made is there to stay, and to search it for garbage
#: again and again takes a seventh of the time.
_SEARCH_AFTER: Final = 150_000
_SIGNALS: Final = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 failed, 2 not understood.

    Until the command watches for signals itself, all of them end it quietly: the imports
    below take a while, and a service manager may be quick.

    Args:
        arguments: The command and its arguments; by default those of the process, which
            then is expected to end: what comes too late to be a signal is ignored.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    search_after = gc.get_threshold()

    def leave(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(_interrupted(words, number))

    try:
        gc.set_threshold(_SEARCH_AFTER, *search_after[1:])
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, leave)
        from trio_dask.cli.app import run

        return run(words)
    except RuntimeError as error:  # Python 3.11 makes that of it where a class is being made
        if isinstance(error.__cause__, SystemExit):
            raise error.__cause__ from None
        raise
    finally:
        gc.set_threshold(*search_after)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if arguments is None else handler)


def _interrupted(words: Sequence[str], number: int) -> int:
    """The exit code of a command that a signal ends: 0 of servers, not where 0 would say too much."""
    return 128 + number if words[:1] in (["run"], ["replay"]) else 0
