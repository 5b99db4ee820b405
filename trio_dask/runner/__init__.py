"""The child process in which users' code runs: slots, values held, results sent.

Read `runner` first. The names below are imported when they are first used: the
process itself starts at `__main__` and imports next to nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trio_dask.runner.board import Board as Board
    from trio_dask.runner.hosting import host_runner as host_runner

__all__ = ["Board", "host_runner"]


def __getattr__(name: str) -> Any:
    if name == "Board":
        from trio_dask.runner.board import Board

        return Board
    if name == "host_runner":
        from trio_dask.runner.hosting import host_runner

        return host_runner
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
