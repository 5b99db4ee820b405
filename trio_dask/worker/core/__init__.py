"""What a worker decides, without any I/O: events in, actions out."""

from trio_dask.worker.core.actions import (
    Action,
    AwaitDrain,
    Depart,
    FetchFrom,
    KillRunner,
    LookUp,
    Spill,
    StartRunner,
    ToPeer,
    ToRunner,
    ToScheduler,
)
from trio_dask.worker.core.deaths import certificate
from trio_dask.worker.core.draining import DrainRules
from trio_dask.worker.core.evidence import MemorySamples, OomLedger, control_groups, oom_kills
from trio_dask.worker.core.machine import WorkerCore
from trio_dask.worker.core.recycling import RecycleRules
from trio_dask.worker.core.restart import GiveUp, Restart, RestartRules, Restarts
from trio_dask.worker.core.room_books import MemoryRules
from trio_dask.worker.core.stalls import Stalls
from trio_dask.worker.core.store import Store
from trio_dask.worker.core.tail import Lines, Tail

__all__ = [
    "Action",
    "AwaitDrain",
    "Depart",
    "DrainRules",
    "FetchFrom",
    "GiveUp",
    "KillRunner",
    "Lines",
    "LookUp",
    "MemoryRules",
    "MemorySamples",
    "OomLedger",
    "RecycleRules",
    "Restart",
    "RestartRules",
    "Restarts",
    "Spill",
    "Stalls",
    "StartRunner",
    "Store",
    "Tail",
    "ToPeer",
    "ToRunner",
    "ToScheduler",
    "WorkerCore",
    "certificate",
    "control_groups",
    "oom_kills",
]
