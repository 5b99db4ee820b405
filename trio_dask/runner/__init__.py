"""The child process in which users' code runs: slots, values held, results sent.

Read `runner` first. The names below are imported when they are first used: the
process itself starts at `__main__` and imports next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trio_dask.runner.actors import (
        ActorCell as ActorCell,
        ActorMaker as ActorMaker,
        StandIn as StandIn,
        call_actor as call_actor,
        call_actor_async as call_actor_async,
        opened as opened,
    )
    from trio_dask.runner.afterimport import when_imported as when_imported
    from trio_dask.runner.board import Board as Board
    from trio_dask.runner.cancelling import check_cancelled as check_cancelled
    from trio_dask.runner.hearing import passed_on as passed_on
    from trio_dask.runner.holdings import resolve as resolve
    from trio_dask.runner.hosting import host_runner as host_runner
    from trio_dask.runner.inside import (
        rejoin as rejoin,
        secede as secede,
    )
    from trio_dask.runner.nests import Nest as Nest, current as current, task_here as task_here
    from trio_dask.runner.on_asyncio import OnAsyncio as OnAsyncio
    from trio_dask.runner.plugin_kinds import (
        Callback as Callback,
        UploadFile as UploadFile,
        WorkerPlugin as WorkerPlugin,
    )
    from trio_dask.runner.shielding import current_deadline as current_deadline, shield as shield

_HOMES: Final[dict[str, str]] = {
    "ActorCell": "actors",
    "ActorMaker": "actors",
    "Board": "board",
    "Callback": "plugin_kinds",
    "Nest": "nests",
    "OnAsyncio": "on_asyncio",
    "StandIn": "actors",
    "UploadFile": "plugin_kinds",
    "WorkerPlugin": "plugin_kinds",
    "call_actor": "actors",
    "call_actor_async": "actors",
    "check_cancelled": "cancelling",
    "current": "nests",
    "current_deadline": "shielding",
    "host_runner": "hosting",
    "opened": "actors",
    "passed_on": "hearing",
    "rejoin": "inside",
    "resolve": "holdings",
    "secede": "inside",
    "shield": "shielding",
    "task_here": "nests",
    "when_imported": "afterimport",
}

__all__ = [
    "ActorCell",
    "ActorMaker",
    "Board",
    "Callback",
    "Nest",
    "OnAsyncio",
    "StandIn",
    "UploadFile",
    "WorkerPlugin",
    "call_actor",
    "call_actor_async",
    "check_cancelled",
    "current",
    "current_deadline",
    "host_runner",
    "opened",
    "passed_on",
    "rejoin",
    "resolve",
    "secede",
    "shield",
    "task_here",
    "when_imported",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(importlib.import_module(f"trio_dask.runner.{home}"), name)
