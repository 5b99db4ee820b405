"""What kind of value a future has: looked up here where the value is here, else where it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.client.core import FINISHED
from trio_dask.client.futures import AsyncFuture, Future
from trio_dask.client.options import task_options
from trio_dask.client.outcomes import Failed
from trio_dask.runner import ActorCell

if TYPE_CHECKING:
    from trio_dask.client.base import BaseClient
    from trio_dask.client.futures import BaseFuture

#: It is not to wait for what others have submitted.
_PRIORITY = 100_000


def _kind(value: Any) -> type:
    """Of what class a value is; called where it is."""
    return type(value._thing) if isinstance(value, ActorCell) else type(value)  # noqa: SLF001


async def kind_of(client: BaseClient, future: BaseFuture[Any]) -> type | None:
    """The class of a future's value; None if there is none, or not yet."""
    batch, tid = future._batch, future._tid  # noqa: SLF001 - a future is a view
    row = tid - batch.first
    with client.live.lock:
        status, value = batch.status[row], batch.values[row]
    if status != FINISHED:
        return None
    if isinstance(value, bytes):
        value = await client.live.values.one(batch, tid, None)
        if type(value) is Failed:
            raise value.take()
        return type(value)
    options = task_options(
        priority=_PRIORITY, retries=0, resources=None, workers=None, allow_other_workers=False,
        timeout=None, deadline=None, on_cancel="interrupt",
    )  # fmt: skip
    make: Any = AsyncFuture if client.asynchronous else Future
    asked = client.submit_one(make, (_kind, (future,), {}), options)
    outcome = await client.live.values.one(asked._batch, asked._tid, None)  # noqa: SLF001
    if type(outcome) is Failed:
        raise outcome.take()
    found: type = outcome
    return found
