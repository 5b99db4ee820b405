"""Functions that are told on which worker they run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from trio_dask.runner.inside import get_worker

if TYPE_CHECKING:
    from collections.abc import Callable


def with_worker(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The same, for a task, with the worker as `dask_worker`."""
    return partial(_call, fn)


def _call(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return fn(*args, **{"dask_worker": get_worker()} | kwargs)
