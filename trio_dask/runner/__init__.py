"""The child process in which users' code runs: slots, values held, results sent.

Read `runner` first. The names below are imported when they are first used: the
process itself starts at `__main__` and imports next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trio_dask.runner.board import Board as Board
    from trio_dask.runner.cancelling import check_cancelled as check_cancelled
    from trio_dask.runner.hosting import host_runner as host_runner

_HOMES: Final[dict[str, str]] = {
    "Board": "board",
    "check_cancelled": "cancelling",
    "host_runner": "hosting",
}

__all__ = ["Board", "check_cancelled", "host_runner"]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"trio_dask.runner.{home}"), name)
