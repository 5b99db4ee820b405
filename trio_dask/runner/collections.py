"""Collections of dask, and calls of joblib, that a task computes: on its own cluster."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, ClassVar

from trio_dask.runner.afterimport import when_imported

if TYPE_CHECKING:
    from types import ModuleType


class TaskClients:
    """What dask finds as its scheduler in a runner process: the client of the task that asks.

    Dask takes an object for a client if the name of its class says so.
    """

    asynchronous: ClassVar[bool] = False

    def get(self, dsk: Any, keys: Any, **options: Any) -> Any:
        """The values of keys of a graph."""
        client = _of_task()
        if client is None:  # in a thread that a task has started
            from dask.threaded import get

            return get(dsk, keys, **options)
        return client.get(dsk, keys, **options)

    def persist(self, collections: Any, **options: Any) -> Any:
        """Collections of futures, which end with the task."""
        client = _of_task()
        if client is None:
            msg = "persist() needs a task, and this is a thread that one has started"
            raise RuntimeError(msg)
        return client.persist(collections, **options)


def _of_task() -> Any:
    import trio_dask  # the whole of it: here is where few tasks get to

    try:
        client = trio_dask.get_client()
    except ValueError:
        return None
    if client.asynchronous:
        msg = (
            "compute() blocks, and this task runs async code: use "
            "`await get_client().compute(…, sync=True)`"
        )
        raise RuntimeError(msg)
    return client


def be_default() -> None:
    """Have dask and joblib, once they are imported here, compute with the clients of tasks."""
    when_imported("dask.config", _choose)
    when_imported("joblib", _offer)


def _offer(joblib: ModuleType) -> None:
    joblib.register_parallel_backend("trio_dask", _backend)


def _backend(**options: Any) -> Any:
    # By its name: it is a client's, which nothing here knows.
    return importlib.import_module("trio_dask.client.joblib").TrioDaskBackend(**options)


def _choose(module: ModuleType) -> None:
    config: dict[str, Any] = module.config
    if config.get("scheduler") is None:
        config["scheduler"] = TaskClients()
    shuffle = config.setdefault("dataframe", {}).setdefault("shuffle", {})
    if shuffle.get("method") is None:
        shuffle["method"] = "tasks"  # through files of one machine it would be wrong
