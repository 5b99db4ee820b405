"""What clients do about where values are: copies on more workers, and about as much on each."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from trio_dask.client.core import group
from trio_dask.client.named import is_nobody
from trio_dask.client.options import worker_names
from trio_dask.client.plugging import AsyncPlugging, Plugging

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.client.base import BaseClient

logger = logging.getLogger("trio_dask.client")


async def spread(
    client: BaseClient,
    topic: str,
    futures: Any,
    workers: str | Iterable[str] | None,
    **params: Any,
) -> None:
    """Wait until the values are there, and then until they are where they should be."""
    if is_nobody(workers) and topic == "rebalance":
        return
    if futures is not None:
        found = client._found(futures)  # noqa: SLF001
        groups = group((future._batch, future._tid) for future in found)  # noqa: SLF001
        await client.live.values.done(groups)
        params["tids"] = [future._tid for future in found]  # noqa: SLF001
    if workers is not None:
        params["workers"] = worker_names(workers)
    answer = await client.live.ask(topic, params)
    if answer["failed"]:
        logger.warning(
            "%s: %d copies could not be made: no worker had room, or the value cannot be pickled",
            topic, answer["failed"],
        )  # fmt: skip


class AsyncSpreading(AsyncPlugging):
    """The methods of the client that is awaited."""

    async def replicate(
        self,
        futures: Any,
        n: int | None = None,
        workers: str | Iterable[str] | None = None,
    ) -> None:
        """Have values held by `n` of the workers each, and wait until they are.

        Results are waited for first. What more of the workers hold is let go of. Values that are
        so small that they travel with the tasks are everywhere anyway. What could not be copied
        is in the log.

        Args:
            futures: in any nesting of containers.
            n: how many; by default all.
            workers: which, by address, name or host; by default any.
        """
        await spread(self, "replicate", futures, workers, n=n)

    async def rebalance(
        self, futures: Any = None, workers: str | Iterable[str] | None = None
    ) -> None:
        """Move values until the workers hold about as many bytes each, and wait until they do.

        Args:
            futures: whose values may move; by default all there are, those of others, too.
            workers: among which, by address, name or host; by default all.
        """
        await spread(self, "rebalance", futures, workers)


class Spreading(Plugging):
    """The methods of the client that blocks."""

    def replicate(
        self,
        futures: Any,
        n: int | None = None,
        workers: str | Iterable[str] | None = None,
    ) -> None:
        """Have values held by `n` of the workers each, and wait until they are.

        Results are waited for first. What more of the workers hold is let go of. Values that are
        so small that they travel with the tasks are everywhere anyway. What could not be copied
        is in the log.

        Args:
            futures: in any nesting of containers.
            n: how many; by default all.
            workers: which, by address, name or host; by default any.
        """
        self.run_blocking(spread(self, "replicate", futures, workers, n=n))

    def rebalance(self, futures: Any = None, workers: str | Iterable[str] | None = None) -> None:
        """Move values until the workers hold about as many bytes each, and wait until they do.

        Args:
            futures: whose values may move; by default all there are, those of others, too.
            workers: among which, by address, name or host; by default all.
        """
        self.run_blocking(spread(self, "rebalance", futures, workers))
