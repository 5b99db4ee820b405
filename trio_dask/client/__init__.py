"""Clients: what users hold.

The core decides and needs no loop; so the names below, which need one, are imported
when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trio_dask.client.async_client import AsyncClient
    from trio_dask.client.bars import progress
    from trio_dask.client.blocking import Client
    from trio_dask.client.coordination import (
        AsyncLock,
        AsyncMultiLock,
        AsyncSemaphore,
        Lock,
        MultiLock,
        Semaphore,
    )
    from trio_dask.client.exchange import (
        AsyncEvent,
        AsyncQueue,
        AsyncVariable,
        Event,
        Queue,
        Variable,
    )
    from trio_dask.client.finding import futures_of
    from trio_dask.client.futures import AsyncFuture, Future
    from trio_dask.client.inside import get_client, worker_client
    from trio_dask.client.loop_thread import LoopThread, at_exit, not_at_exit
    from trio_dask.client.loops import refuse_running_loop, waker
    from trio_dask.client.notebook import Logs, as_html
    from trio_dask.client.task_worker import TaskWorker, get_worker
    from trio_dask.client.topics import print, warn  # noqa: A004 - as in Dask
    from trio_dask.client.waiting import DoneAndNotDone, as_completed, fire_and_forget, wait
    from trio_dask.client.waits import seconds_of

_HOMES: Final[dict[str, str]] = {
    "AsyncClient": "async_client",
    "AsyncEvent": "exchange",
    "AsyncFuture": "futures",
    "AsyncLock": "coordination",
    "AsyncMultiLock": "coordination",
    "AsyncQueue": "exchange",
    "AsyncSemaphore": "coordination",
    "AsyncVariable": "exchange",
    "Client": "blocking",
    "DoneAndNotDone": "waiting",
    "Event": "exchange",
    "Future": "futures",
    "Lock": "coordination",
    "LoopThread": "loop_thread",
    "MultiLock": "coordination",
    "Queue": "exchange",
    "Semaphore": "coordination",
    "TaskWorker": "task_worker",
    "Variable": "exchange",
    "as_completed": "waiting",
    "Logs": "notebook",
    "as_html": "notebook",
    "at_exit": "loop_thread",
    "fire_and_forget": "waiting",
    "futures_of": "finding",
    "get_client": "inside",
    "get_worker": "task_worker",
    "not_at_exit": "loop_thread",
    "print": "topics",
    "progress": "bars",
    "refuse_running_loop": "loops",
    "seconds_of": "waits",
    "wait": "waiting",
    "waker": "loops",
    "warn": "topics",
    "worker_client": "inside",
}

__all__ = [
    "AsyncClient",
    "AsyncEvent",
    "AsyncFuture",
    "AsyncLock",
    "AsyncMultiLock",
    "AsyncQueue",
    "AsyncSemaphore",
    "AsyncVariable",
    "Client",
    "DoneAndNotDone",
    "Event",
    "Future",
    "Lock",
    "Logs",
    "LoopThread",
    "MultiLock",
    "Queue",
    "Semaphore",
    "TaskWorker",
    "Variable",
    "as_completed",
    "as_html",
    "at_exit",
    "fire_and_forget",
    "futures_of",
    "get_client",
    "get_worker",
    "not_at_exit",
    "print",
    "progress",
    "refuse_running_loop",
    "seconds_of",
    "wait",
    "waker",
    "warn",
    "worker_client",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"trio_dask.client.{home}"), name)
    globals()[name] = value
    return value
