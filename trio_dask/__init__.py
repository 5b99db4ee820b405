"""Distributed computing with structured concurrency, on Trio.

The names below are imported when they are first used: a runner process, which
lives inside this package too, starts without paying for any of them.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from trio_dask.client import (
        AsyncClient as AsyncClient,
        AsyncEvent as AsyncEvent,
        AsyncFuture as AsyncFuture,
        AsyncLock as AsyncLock,
        AsyncMultiLock as AsyncMultiLock,
        AsyncQueue as AsyncQueue,
        AsyncSemaphore as AsyncSemaphore,
        AsyncVariable as AsyncVariable,
        Client as Client,
        Event as Event,
        Future as Future,
        Lock as Lock,
        MultiLock as MultiLock,
        Queue as Queue,
        Semaphore as Semaphore,
        Variable as Variable,
        as_completed as as_completed,
        fire_and_forget as fire_and_forget,
        futures_of as futures_of,
        get_client as get_client,
        get_worker as get_worker,
        print as print,  # noqa: A004 - as in Dask
        progress as progress,
        wait as wait,
        warn as warn,
        worker_client as worker_client,
    )
    from trio_dask.comm import Security as Security
    from trio_dask.deploy import (
        AsyncLocalCluster as AsyncLocalCluster,
        LocalCluster as LocalCluster,
        get_task_stream as get_task_stream,
        performance_report as performance_report,
    )
    from trio_dask.errors import (
        AuthenticationError as AuthenticationError,
        CancelledError as CancelledError,
        CommError as CommError,
        ConfigError as ConfigError,
        DataLost as DataLost,
        HandshakeRefused as HandshakeRefused,
        KilledWorker as KilledWorker,
        LocalProtocolError as LocalProtocolError,
        NoValidWorkerError as NoValidWorkerError,
        NoWorkerError as NoWorkerError,
        PeerClosed as PeerClosed,
        RemoteError as RemoteError,
        RemoteProtocolError as RemoteProtocolError,
        Reschedule as Reschedule,
        SchedulerUnreachable as SchedulerUnreachable,
        SubmitError as SubmitError,
        TaskCancelled as TaskCancelled,
        TaskError as TaskError,
        TaskTimeout as TaskTimeout,
        TrioDaskError as TrioDaskError,
    )
    from trio_dask.messages.foreign import register_pickle_by_value as register_pickle_by_value
    from trio_dask.messages.pickling import register_serialization as register_serialization
    from trio_dask.runner import (
        WorkerPlugin as WorkerPlugin,
        check_cancelled as check_cancelled,
        current_deadline as current_deadline,
        rejoin as rejoin,
        secede as secede,
        shield as shield,
    )
    from trio_dask.scheduler import SchedulerPlugin as SchedulerPlugin

__version__ = "2026.11.0"

_HOMES: Final[dict[str, str]] = {
    "AsyncClient": "trio_dask.client",
    "AsyncEvent": "trio_dask.client",
    "AsyncFuture": "trio_dask.client",
    "AsyncLock": "trio_dask.client",
    "AsyncMultiLock": "trio_dask.client",
    "AsyncQueue": "trio_dask.client",
    "AsyncSemaphore": "trio_dask.client",
    "AsyncVariable": "trio_dask.client",
    "Client": "trio_dask.client",
    "Event": "trio_dask.client",
    "Future": "trio_dask.client",
    "Lock": "trio_dask.client",
    "MultiLock": "trio_dask.client",
    "Queue": "trio_dask.client",
    "Semaphore": "trio_dask.client",
    "Variable": "trio_dask.client",
    "as_completed": "trio_dask.client",
    "fire_and_forget": "trio_dask.client",
    "futures_of": "trio_dask.client",
    "get_client": "trio_dask.client",
    "print": "trio_dask.client",
    "progress": "trio_dask.client",
    "wait": "trio_dask.client",
    "warn": "trio_dask.client",
    "worker_client": "trio_dask.client",
    "Security": "trio_dask.comm",
    "AsyncLocalCluster": "trio_dask.deploy",
    "LocalCluster": "trio_dask.deploy",
    "get_task_stream": "trio_dask.deploy",
    "performance_report": "trio_dask.deploy",
    "AuthenticationError": "trio_dask.errors",
    "CancelledError": "trio_dask.errors",
    "CommError": "trio_dask.errors",
    "ConfigError": "trio_dask.errors",
    "DataLost": "trio_dask.errors",
    "HandshakeRefused": "trio_dask.errors",
    "KilledWorker": "trio_dask.errors",
    "LocalProtocolError": "trio_dask.errors",
    "NoValidWorkerError": "trio_dask.errors",
    "NoWorkerError": "trio_dask.errors",
    "PeerClosed": "trio_dask.errors",
    "RemoteError": "trio_dask.errors",
    "RemoteProtocolError": "trio_dask.errors",
    "Reschedule": "trio_dask.errors",
    "SchedulerUnreachable": "trio_dask.errors",
    "SubmitError": "trio_dask.errors",
    "TaskCancelled": "trio_dask.errors",
    "TaskError": "trio_dask.errors",
    "TaskTimeout": "trio_dask.errors",
    "TrioDaskError": "trio_dask.errors",
    "SchedulerPlugin": "trio_dask.scheduler",
    "WorkerPlugin": "trio_dask.runner",
    "register_pickle_by_value": "trio_dask.messages.foreign",
    "register_serialization": "trio_dask.messages.pickling",
    "check_cancelled": "trio_dask.runner",
    "current_deadline": "trio_dask.runner",
    "get_worker": "trio_dask.client",
    "rejoin": "trio_dask.runner",
    "secede": "trio_dask.runner",
    "shield": "trio_dask.runner",
}

__all__ = [
    "AsyncClient",
    "AsyncEvent",
    "AsyncFuture",
    "AsyncLocalCluster",
    "AsyncLock",
    "AsyncMultiLock",
    "AsyncQueue",
    "AsyncSemaphore",
    "AsyncVariable",
    "AuthenticationError",
    "CancelledError",
    "Client",
    "CommError",
    "ConfigError",
    "DataLost",
    "Event",
    "Future",
    "HandshakeRefused",
    "KilledWorker",
    "LocalCluster",
    "LocalProtocolError",
    "Lock",
    "MultiLock",
    "NoValidWorkerError",
    "NoWorkerError",
    "PeerClosed",
    "Queue",
    "RemoteError",
    "RemoteProtocolError",
    "Reschedule",
    "SchedulerPlugin",
    "SchedulerUnreachable",
    "Security",
    "Semaphore",
    "SubmitError",
    "TaskCancelled",
    "TaskError",
    "TaskTimeout",
    "TrioDaskError",
    "Variable",
    "WorkerPlugin",
    "as_completed",
    "check_cancelled",
    "current_deadline",
    "fire_and_forget",
    "futures_of",
    "get_client",
    "get_task_stream",
    "get_worker",
    "performance_report",
    "print",
    "progress",
    "register_pickle_by_value",
    "register_serialization",
    "rejoin",
    "secede",
    "shield",
    "wait",
    "warn",
    "worker_client",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value
