"""What clients do to the cluster itself: retire workers, restart, shut down. For both, once each way."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from trio_dask.client.options import worker_names
from trio_dask.client.spreading import AsyncSpreading, Spreading
from trio_dask.client.waits import TimeIsUp, seconds_of
from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.client.live import Live

#: How long replacing all runners may take if nothing is said.
RESTART_S: Final = 120.0
#: How long a scheduler may take to say that it ends.
_SHUTDOWN_S: Final = 5.0

logger = logging.getLogger("trio_dask.client")


async def retire_workers(
    live: Live,
    workers: str | Iterable[str] | None,
    names: str | Iterable[str] | None,
    params: dict[str, Any],
) -> dict[str, Any]:
    """Have workers leave, and wait until they have."""
    named = [
        name for given in (workers, names) if given is not None for name in worker_names(given)
    ]
    if workers is not None or names is not None:
        params["workers"] = named
    answer = await live.ask("retire_workers", params)
    for address, why in answer["stayed"].items():
        logger.warning("worker %s stays: %s", address, why)
    retired: dict[str, Any] = answer["workers"]
    return retired


async def restart(live: Live, limit_s: float, *, wait: bool) -> None:
    """Forget all tasks, and have all runners replaced."""
    try:
        await live.ask("restart", {"wait": wait}, limit_s=limit_s)
        return
    except TimeIsUp:
        pass
    found = await live.ask("nthreads", {})
    how = (await live.ask("restarting", {"workers": list(found)}))["workers"]
    late = [address for address, state in how.items() if state == "pending"]
    msg = (
        f"the tasks are forgotten, but {len(late)} of {len(how)} workers have no new runner after "
        f"{limit_s:g} s: {', '.join(late[:10])}"
    )
    raise TimeoutError(msg)


async def restart_workers(
    live: Live,
    workers: str | Iterable[str],
    limit_s: float,
    *,
    raise_for_error: bool,
) -> dict[str, str]:
    """Have the runners of these workers replaced; what has become of each."""
    named = worker_names(workers)
    try:
        answer = await live.ask("restart_workers", {"workers": named}, limit_s=limit_s)
    except TimeIsUp:
        answer = await live.ask("restarting", {"workers": named})
    result: dict[str, str] = {
        name: "timed out" if how == "pending" else how for name, how in answer["workers"].items()
    }
    late = [name for name, how in result.items() if how == "timed out"]
    if late and raise_for_error:
        msg = f"{len(late)} of {len(named)} workers have no new runner after {limit_s:g} s: "
        raise TimeoutError(msg + ", ".join(late[:10]))
    return result


async def shutdown(live: Live) -> None:
    """Have the scheduler and all workers end, if they have not."""
    with suppress(SchedulerUnreachable, TimeIsUp):
        await live.ask("shutdown", {}, limit_s=_SHUTDOWN_S)


class AsyncManaging(AsyncSpreading):
    """The methods of the client that is awaited."""

    async def close(self) -> None:
        """Release everything and leave the cluster."""
        raise NotImplementedError

    async def retire_workers(
        self,
        workers: str | Iterable[str] | None = None,
        close_workers: bool = True,  # noqa: FBT001, FBT002 - as in Dask
        *,
        names: str | Iterable[str] | None = None,
        n: int | None = None,
        minimum: int = 0,
        memory_ratio: float | None = None,
    ) -> dict[str, Any]:
        """Have workers leave, and wait until they have: nothing that only they hold is lost.

        They are given no more tasks; running ones get a few seconds to end, and then run
        elsewhere. Values move to workers that stay, however long that takes. Where nobody is
        left to take them a worker stays, and the log says so.

        Args:
            workers: which, by address or name; without `workers`, `names` and `n`, those that do
                nothing and whose memory is not needed.
            close_workers: with False they are given nothing more, and wait for somebody to end
                them.
            names: the same as `workers`.
            n: as many as this, those first that have least to do and hold least.
            minimum: at least so many stay, where nobody is named.
            memory_ratio: those that stay have together so many times the memory that values take.

        Returns:
            What was known of each of those that have left, by address.
        """
        params = _choice(n, minimum, memory_ratio, close=close_workers)
        return await retire_workers(self.live, workers, names, params)

    async def restart(
        self,
        timeout: float | str | None = None,  # noqa: ASYNC109 - as in Dask
        wait_for_workers: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> Self:
        """Forget all tasks and values, and replace all processes that run them.

        Futures of all clients are cancelled. Tasks that run are not asked to stop: their
        processes end. Modules are imported anew.

        Raises:
            TimeoutError: some worker had no new process after so long (two minutes, if nothing
                is said); with ``wait_for_workers=False`` that is not waited for.
        """
        await restart(self.live, _limit_s(timeout), wait=wait_for_workers)
        return self

    async def restart_workers(
        self,
        workers: str | Iterable[str],
        timeout: float | str | None = None,  # noqa: ASYNC109 - as in Dask
        raise_for_error: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> dict[str, str]:
        """Replace the processes that run the tasks of these workers, by address or name.

        What runs there runs again, here or elsewhere, without blame; results that were only
        in these processes are computed again where they are wanted.

        Returns:
            For each ``"OK"``, ``"removed"`` (it has left meanwhile) or ``"timed out"``.

        Raises:
            TimeoutError: one of them had no new process in so many seconds.
            ValueError: there is no such worker.
        """
        return await restart_workers(
            self.live, workers, _limit_s(timeout), raise_for_error=raise_for_error
        )

    async def shutdown(self) -> None:
        """End the scheduler and all workers, and close this client. Nothing is waited for."""
        if self.live.state == "open":
            await shutdown(self.live)
        await self.close()


class Managing(Spreading):
    """The methods of the client that blocks."""

    def close(self) -> None:
        """Release everything and leave the cluster."""
        raise NotImplementedError

    def retire_workers(
        self,
        workers: str | Iterable[str] | None = None,
        close_workers: bool = True,  # noqa: FBT001, FBT002 - as in Dask
        *,
        names: str | Iterable[str] | None = None,
        n: int | None = None,
        minimum: int = 0,
        memory_ratio: float | None = None,
    ) -> dict[str, Any]:
        """Have workers leave, and wait until they have: nothing that only they hold is lost.

        They are given no more tasks; running ones get a few seconds to end, and then run
        elsewhere. Values move to workers that stay, however long that takes. Where nobody is
        left to take them a worker stays, and the log says so.

        Args:
            workers: which, by address or name; without `workers`, `names` and `n`, those that do
                nothing and whose memory is not needed.
            close_workers: with False they are given nothing more, and wait for somebody to end
                them.
            names: the same as `workers`.
            n: as many as this, those first that have least to do and hold least.
            minimum: at least so many stay, where nobody is named.
            memory_ratio: those that stay have together so many times the memory that values take.

        Returns:
            What was known of each of those that have left, by address.
        """
        params = _choice(n, minimum, memory_ratio, close=close_workers)
        retired: dict[str, Any] = self.run_blocking(
            retire_workers(self.live, workers, names, params)
        )
        return retired

    def restart(
        self,
        timeout: float | str | None = None,
        wait_for_workers: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> Self:
        """Forget all tasks and values, and replace all processes that run them.

        Futures of all clients are cancelled. Tasks that run are not asked to stop: their
        processes end. Modules are imported anew.

        Raises:
            TimeoutError: some worker had no new process after so long (two minutes, if nothing
                is said); with ``wait_for_workers=False`` that is not waited for.
        """
        self.run_blocking(restart(self.live, _limit_s(timeout), wait=wait_for_workers))
        return self

    def restart_workers(
        self,
        workers: str | Iterable[str],
        timeout: float | str | None = None,
        raise_for_error: bool = True,  # noqa: FBT001, FBT002 - as in Dask
    ) -> dict[str, str]:
        """Replace the processes that run the tasks of these workers, by address or name.

        What runs there runs again, here or elsewhere, without blame; results that were only
        in these processes are computed again where they are wanted.

        Returns:
            For each ``"OK"``, ``"removed"`` (it has left meanwhile) or ``"timed out"``.

        Raises:
            TimeoutError: one of them had no new process in so many seconds.
            ValueError: there is no such worker.
        """
        result: dict[str, str] = self.run_blocking(
            restart_workers(self.live, workers, _limit_s(timeout), raise_for_error=raise_for_error)
        )
        return result

    def shutdown(self) -> None:
        """End the scheduler and all workers, and close this client. Nothing is waited for."""
        if self.live.state == "open":
            self.run_blocking(shutdown(self.live))
        self.close()


def _limit_s(timeout: float | str | None) -> float:
    limit_s = seconds_of(timeout)
    return RESTART_S if limit_s is None else limit_s


def _choice(
    n: int | None, minimum: int, memory_ratio: float | None, *, close: bool
) -> dict[str, Any]:
    params = {"n": n, "minimum": minimum, "memory_ratio": memory_ratio, "close": close}
    return {name: value for name, value in params.items() if value is not None}
