"""Which values and tasks are where, and how large: for both clients."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from trio_dask.client.base import BaseClient
from trio_dask.client.futures import BaseFuture
from trio_dask.client.options import worker_names

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable


async def keys_by_worker(
    client: BaseClient, topic: str, workers: str | Iterable[str] | None
) -> dict[str, tuple[str, ...]]:
    """What the scheduler says of workers, by address."""
    params = {} if workers is None else {"workers": worker_names(workers)}
    answer = await client.live.ask(topic, params)
    return {address: tuple(keys) for address, keys in answer["keys"].items()}


async def nbytes(
    client: BaseClient,
    keys: str | BaseFuture[Any] | Iterable[str | BaseFuture[Any]] | None,
    *,
    summary: bool,
) -> dict[str, int]:
    """Sizes of values, in bytes."""
    params: dict[str, Any] = {"summary": bool(summary)}
    if keys is not None:
        some = [keys] if isinstance(keys, str | BaseFuture) else list(keys)
        params["keys"] = [
            each._batch.key(each._tid) if isinstance(each, BaseFuture) else str(each)  # noqa: SLF001
            for each in some  # of a graph the cluster knows another key than dask does
        ]
    sizes: dict[str, int] = (await client.live.ask("nbytes", params))["nbytes"]
    return sizes


class AsyncSurveying(BaseClient):
    """The methods of the client that is awaited."""

    async def has_what(
        self, workers: str | Iterable[str] | None = None
    ) -> dict[str, tuple[str, ...]]:
        """The keys of the values that workers hold, by the worker's address.

        Small values are with the scheduler, and no worker holds them.

        Args:
            workers: of these only, by address or name.

        Raises:
            ValueError: there is no such worker, or there are more than 500,000 keys.
        """
        return await keys_by_worker(self, "has_what", workers)

    async def processing(
        self, workers: str | Iterable[str] | None = None
    ) -> dict[str, tuple[str, ...]]:
        """The keys of the tasks that workers have been given, by the worker's address.

        They run, or are next. `task_counts` says how many tasks there are in all, and
        `call_stack` what those that run are doing.

        Args:
            workers: of these only, by address or name.

        Raises:
            ValueError: as for `has_what`.
        """
        return await keys_by_worker(self, "processing", workers)

    async def nbytes(
        self,
        keys: str | BaseFuture[Any] | Iterable[str | BaseFuture[Any]] | None = None,
        summary: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> dict[str, int]:
        """How many bytes the values in the cluster take, one copy of each.

        Args:
            keys: of these tasks only, by key or future.
            summary: by the name of the function; with False by key.

        Raises:
            ValueError: there are more than 500,000 keys.
        """
        return await nbytes(self, keys, summary=summary)

    async def ncores(self, workers: str | Iterable[str] | None = None) -> dict[str, int]:
        """How many tasks each worker runs at a time, by address: as `nthreads`."""
        return await self._nthreads(workers)


class Surveying(BaseClient):
    """The methods of the client that blocks."""

    def run_blocking(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine of this client's in this thread."""
        raise NotImplementedError

    def has_what(self, workers: str | Iterable[str] | None = None) -> dict[str, tuple[str, ...]]:
        """The keys of the values that workers hold, by the worker's address.

        Small values are with the scheduler, and no worker holds them.

        Args:
            workers: of these only, by address or name.

        Raises:
            ValueError: there is no such worker, or there are more than 500,000 keys.
        """
        found: dict[str, tuple[str, ...]] = self.run_blocking(
            keys_by_worker(self, "has_what", workers)
        )
        return found

    def processing(self, workers: str | Iterable[str] | None = None) -> dict[str, tuple[str, ...]]:
        """The keys of the tasks that workers have been given, by the worker's address.

        They run, or are next. `task_counts` says how many tasks there are in all, and
        `call_stack` what those that run are doing.

        Args:
            workers: of these only, by address or name.

        Raises:
            ValueError: as for `has_what`.
        """
        found: dict[str, tuple[str, ...]] = self.run_blocking(
            keys_by_worker(self, "processing", workers)
        )
        return found

    def nbytes(
        self,
        keys: str | BaseFuture[Any] | Iterable[str | BaseFuture[Any]] | None = None,
        summary: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> dict[str, int]:
        """How many bytes the values in the cluster take, one copy of each.

        Args:
            keys: of these tasks only, by key or future.
            summary: by the name of the function; with False by key.

        Raises:
            ValueError: there are more than 500,000 keys.
        """
        sizes: dict[str, int] = self.run_blocking(nbytes(self, keys, summary=summary))
        return sizes

    def ncores(self, workers: str | Iterable[str] | None = None) -> dict[str, int]:
        """How many tasks each worker runs at a time, by address: as `nthreads`."""
        found: dict[str, int] = self.run_blocking(self._nthreads(workers))
        return found
