"""The command line: ``trio-dask``."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import FrameType

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code: 0 done, 1 failed, 2 not understood.

    Until the command watches for signals itself, SIGTERM ends it as SIGINT does:
    the imports below take a while, and a service manager may be quick.
    """
    try:
        before = signal.signal(signal.SIGTERM, _leave)
        try:
            from trio_dask.cli.app import run

            return run(arguments)
        finally:
            signal.signal(signal.SIGTERM, before)
    except KeyboardInterrupt:
        return 0


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)
