"""Values to workers, on behalf of both clients: `scatter`, and how long it waits for a worker."""

from __future__ import annotations

import contextlib
import logging
import math
from typing import TYPE_CHECKING, Any, Final, TypeVar

from trio_dask.client import metering
from trio_dask.client.core import group
from trio_dask.client.explaining import explain
from trio_dask.client.options import bars, flag, worker_names
from trio_dask.client.spreading import spread
from trio_dask.client.waits import TimeIsUp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from rich.console import Console

    from trio_dask.client.base import BaseClient
    from trio_dask.client.core import Batch
    from trio_dask.client.futures import BaseFuture
    from trio_dask.messages.ids import TaskId

logger = logging.getLogger("trio_dask.client")

F = TypeVar("F", bound="BaseFuture[Any]")

#: After so many seconds it looks whether it waits for a worker at all, and says so once.
LOOK_S: Final = 5.0
#: So long the scheduler may take to say why.
ANSWER_S: Final = 1.0


async def scatter(  # noqa: PLR0913 - they are the options of `scatter`
    client: BaseClient,
    make: Callable[[Batch, TaskId], F],
    data: Any,
    workers: str | Iterable[str] | None,
    *,
    broadcast: bool | int,
    by_content: bool,
    progress: bool | Console,
    limit_s: float | None,
) -> Any:
    """Store values, and give futures for them in the same shape. See `Client.scatter`."""
    if flag("hash", by_content, ValueError):
        msg = (
            "scatter(hash=True): keys are not made of values; scatter once, and pass the future on"
        )
        raise ValueError(msg)
    if type(broadcast) is not bool and not (type(broadcast) is int and 0 < broadcast < 1 << 31):
        msg = f"broadcast={broadcast!r:.100}: it is True, False, or how many workers are to have it"
        raise ValueError(msg)
    client.live.check_open()
    names = [] if workers is None else worker_names(workers)
    kind = type(data)
    whole = kind not in (list, tuple, set, frozenset, dict)
    items = [data] if whole else list(data.values() if kind is dict else data)
    progress = bars(progress)
    if progress is False:
        futures = await _stored(client, make, items, names, broadcast=broadcast, limit_s=limit_s)
    else:
        meter = metering.Scattering(broadcast=broadcast is not False)
        with metering.shown(meter, "scatter", where=progress):
            futures = await _stored(
                client, make, items, names, broadcast=broadcast, limit_s=limit_s, meter=meter
            )
    if whole:
        return futures[0]
    return dict(zip(data, futures, strict=True)) if kind is dict else kind(futures)


async def _stored(
    client: BaseClient,
    make: Callable[[Batch, TaskId], F],
    items: list[Any],
    names: list[str],
    *,
    broadcast: bool | int,
    limit_s: float | None,
    meter: metering.Scattering | None = None,
) -> list[F]:
    if meter is None:
        payloads = [client.describer.value(item) for item in items]
    else:
        payloads = list(meter.packed(map(client.describer.value, items), len(items)))
    items.clear()
    with client.live.lock:
        placed = client.live.core.put(payloads, workers=names, broadcast=broadcast is True)
    futures = [make(batch, tid) for batch, tid in placed]
    if meter is not None:
        meter.stores(placed)
    del payloads
    try:
        await _until_stored(client, futures, limit_s)
    except TimeoutError:
        for future in futures:  # the traceback would hold them
            future.release()
        raise
    if broadcast is not False:
        await _copied(client, futures, names, None if broadcast is True else broadcast)
        if meter is not None:
            meter.copied()
    return futures


async def _until_stored(
    client: BaseClient, futures: Sequence[BaseFuture[Any]], limit_s: float | None
) -> None:
    """Only for want of a worker can it be out of time: on its way a value takes what it takes."""
    live = client.live
    groups = group((future._batch, future._tid) for future in futures)  # noqa: SLF001
    limit, waited, told = math.inf if limit_s is None else limit_s, 0.0, False
    while True:
        span = LOOK_S if waited and waited >= limit else min(LOOK_S, limit - waited)
        try:
            await live.values.done(groups, deadline=live.waits.deadline(span))
        except TimeIsUp:
            waited += span
        else:
            return
        why = "" if told and waited < limit else await _why_nowhere(client, futures)
        what = "a value" if len(futures) == 1 else f"{len(futures):,} values"
        if why and waited >= limit:
            msg = f"scatter: {what} found no worker within {limit:g} s. {why}"
            raise TimeoutError(msg)
        if why:
            told = True
            logger.warning("scatter: %s waits for a worker. %s", what, why)


async def _why_nowhere(client: BaseClient, futures: Sequence[BaseFuture[Any]]) -> str:
    """Why one of them has no worker to go to, in words; empty if all of them have."""
    if client.live.core.away:
        return "The scheduler cannot be reached at the moment."
    first = _nowhere(client, futures)
    if first is None:
        return ""
    try:
        why = await explain(client, first, limit_s=ANSWER_S)
    except TimeIsUp:
        return "The scheduler does not say why."
    # Where there is one, that was said before this was answered.
    return "" if _nowhere(client, [first]) is None else str(why)


def _nowhere(client: BaseClient, futures: Sequence[F]) -> F | None:
    with client.live.lock:
        storing = client.live.core.storing
        return next((each for each in futures if storing.is_nowhere(each._tid)), None)  # noqa: SLF001


async def _copied(client: BaseClient, futures: list[F], names: list[str], n: int | None) -> None:
    """Wait until `n` of the workers, or all, have passed the values on to each other."""
    with contextlib.suppress(ValueError):  # one that was named is not there: the others are
        await spread(client, "replicate", futures, names or None, n=n)
