"""What all clusters that are objects have in common: those that block, and those to await."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

from trio_dask.client import Logs, as_html, refuse_running_loop, seconds_of
from trio_dask.deploy.adaptive import AdaptiveSettings
from trio_dask.deploy.control import control_link

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from trio_dask.comm import Security
    from trio_dask.deploy.engine import Engine
    from trio_dask.deploy.handle import ClusterHandle


#: What the scheduler is called among those that have logged something, as in Dask.
_SCHEDULER: Final = "Scheduler"


def _text(lines: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"{level} - {text}" for level, text in reversed(list(lines)))


class ClusterBase:
    """What all clusters have in common: what can be asked without waiting."""

    asynchronous: ClassVar[bool]
    _engine: Engine

    def _begin(self) -> None:
        """It has been made."""

    def _scale(self, n: int | None, **amounts: Any) -> None:
        handle, count = self._live_handle, self._engine.plan.worker_size.count(n, **amounts)
        self._engine.soon(lambda: handle.scale(count))

    def _adapt(self, **options: Any) -> None:
        settings = AdaptiveSettings.of(self._engine.plan.worker_size, **options)
        handle = self._live_handle
        self._engine.soon(lambda: handle.adapt(settings))

    @property
    def _handle(self) -> ClusterHandle:
        handle = self._engine.handle
        if handle is None:
            msg = f"{self.name}: the cluster is not open; `async with` opens it"
            raise RuntimeError(msg)
        return handle

    @property
    def _live_handle(self) -> ClusterHandle:
        if self._engine.closed:
            msg = f"{self.name}: the cluster is closed"
            raise RuntimeError(msg)
        return self._handle

    @property
    def name(self) -> str:
        """What its workers' names begin with."""
        return self._engine.plan.name

    @property
    def scheduler_address(self) -> str:
        """Where its scheduler is."""
        return self._handle.scheduler_address

    @property
    def dashboard_link(self) -> str:
        """Where its dashboard is; empty if it has none."""
        return self._handle.dashboard_link

    @property
    def control_link(self) -> str:
        """Where its dashboard lets a browser give orders: once, within five minutes.

        Another one each time. Who has followed it may cancel tasks, retire workers and restart
        the cluster there, for twelve hours. Empty if there is no dashboard.
        """
        return control_link(self._handle)

    @property
    def token(self) -> str:
        """What lets clients in. It was made for this cluster, and is nowhere else."""
        return self._handle.token

    @property
    def security(self) -> Security | None:
        """The certificates that clients need; None where connections are not encrypted."""
        return self._engine.plan.security

    @property
    def workers(self) -> dict[str, str]:
        """The addresses of its workers, by name."""
        return {} if self._engine.closed else self._handle.workers

    @property
    def n_workers(self) -> int:
        """How many workers there are now."""
        return len(self.workers)

    @property
    def n_threads(self) -> int | None:
        """How many tasks they run at a time; None where that is not known."""
        cores = self._engine.plan.worker_size.cores
        return len(self.workers) * cores if cores else None

    @property
    def status(self) -> str:
        """``created``, ``running``, ``closed``, or ``failed:`` and why."""
        handle = self._engine.handle
        if self._engine.closed:
            return "closed"
        return "created" if handle is None else handle.status

    def get_client(self, **options: Any) -> Any:
        """Another client of this cluster: a `Client`, or an `AsyncClient` where one awaits.

        `options` are the client's own. It is used, and closed, like any other:
        ``with cluster.get_client() as client:``.
        """
        from trio_dask.client import AsyncClient, Client

        return (AsyncClient if self.asynchronous else Client)(self, **options)

    def get_logs(self, *, scheduler: bool = True, workers: bool | Iterable[str] = True) -> Any:
        """The last lines that scheduler and workers have logged; to be awaited where one awaits.

        Args:
            scheduler: whether the scheduler's are wanted.
            workers: whether those of workers are, or of which ones, by name or address.

        Returns:
            By address, and ``"Scheduler"``, a text: a line for each, the oldest first, 500 at
            most. Workers of one process have one log.

        Raises:
            RuntimeError: the cluster is not open.
            ValueError: there is no such worker.

        Example:
            ``print(cluster.get_logs(workers=False)["Scheduler"])``
        """
        _ = self._live_handle  # who asks one that is closed hears so at once
        wanted = workers if isinstance(workers, bool) else list(workers)
        if self.asynchronous:
            return self._await_logs(wanted=wanted, scheduler=scheduler)
        found = Logs()
        with self.get_client(set_as_default=False) as client:
            if scheduler:
                found[_SCHEDULER] = _text(client.get_scheduler_logs())
            if wanted:
                said = client.get_worker_logs(workers=None if wanted is True else wanted)
                found |= {address: _text(lines) for address, lines in said.items()}
        return found

    async def _await_logs(self, *, wanted: bool | list[str], scheduler: bool) -> Logs:
        found = Logs()
        async with self.get_client(set_as_default=False) as client:
            if scheduler:
                found[_SCHEDULER] = _text(await client.get_scheduler_logs())
            if wanted:
                said = await client.get_worker_logs(workers=None if wanted is True else wanted)
                found |= {address: _text(lines) for address, lines in said.items()}
        return found

    def __repr__(self) -> str:
        parts = [repr(self.name)]
        handle = self._engine.handle
        if handle is not None:
            parts += [repr(handle.scheduler_address), f"workers={len(self.workers)}"]
            threads = self.n_threads
            parts += [] if threads is None else [f"threads={threads}"]
        return f"{type(self).__name__}({', '.join(parts)}, status={self.status!r})"

    def _repr_html_(self) -> str:
        handle = self._engine.handle
        facts = {
            "Name": self.name,
            "Status": self.status,
            "Scheduler": "" if handle is None else handle.scheduler_address,
            "Workers": f"{len(self.workers):,}",
            "Threads of each": (self._engine.plan.worker_size.cores or "") if handle else "",
        }
        link = "" if handle is None or self._engine.closed else self.dashboard_link
        return as_html(type(self).__name__, facts, link)


class BlockingCluster(ClusterBase):
    """A cluster for code that blocks: there as soon as it is made."""

    asynchronous: ClassVar[bool] = False

    def _begin(self) -> None:
        refuse_running_loop(type(self).__name__, f"Async{type(self).__name__}")
        self._engine.open()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def scale(
        self,
        n: int | None = None,
        *,
        cores: int | None = None,
        memory: str | float | None = None,
    ) -> None:
        """Have `n` workers, or as many as have so many cores, or so much memory together, soon.

        This returns at once; `wait_for_workers` waits for them. The youngest leave first: their
        tasks get a few seconds to end, and what only they hold moves to others.

        Raises:
            ConfigError: that is no number, or it is not known how much a worker has.
        """
        self._scale(n, cores=cores, memory=memory)

    def adapt(
        self, minimum: int | None = 0, maximum: float | None = math.inf, **options: Any
    ) -> None:
        """Have as many workers as the work needs, until `scale` gives a number.

        The scheduler says how many would do what can run now within `target_duration`; more
        come at once, fewer once that was so `wait_count` times in a row, each `interval`
        after the last. Those that leave have nothing to do, and their values move first.

        Args:
            minimum: that many workers stay in any case.
            maximum: and there are never more than that.
            options: the same by what workers have together, `minimum_cores`, `maximum_cores`,
                `minimum_memory` and `maximum_memory`, as ``"64GiB"``: where several are given,
                the stricter one counts; and `interval` (1 s), `wait_count` (3),
                `target_duration` (5 s).

        Raises:
            ConfigError: an argument makes no sense, or it is not known how much a worker has.

        Example:
            ``cluster.adapt(minimum_cores=2, maximum_memory="64GiB")``
        """
        self._adapt(minimum=minimum, maximum=maximum, **options)

    def wait_for_workers(self, n: int | None = None, timeout: float | str | None = None) -> None:
        """Wait until there are at least `n` workers, or as many as `scale` has asked for.

        Raises:
            TimeoutError: not in so many seconds.
            SchedulerUnreachable: the cluster has failed.
            RuntimeError: a loop runs in this thread, which must not be blocked.
        """
        name = type(self).__name__
        refuse_running_loop(f"{name}.wait_for_workers", f"Async{name}")
        self._engine.call(self._live_handle.wait_for_workers, n, seconds_of(timeout))

    def close(self) -> None:
        """End all of it, and wait until that is done. Any thread may, as often as it likes.

        Also one that runs a loop: as a refusal would leave the servers behind, the loop is held
        up, mostly for less than a second, at most for 15. The cluster to await never does that.
        """
        self._engine.close()


class AsyncCluster(ClusterBase):
    """The same for async code, on Trio and asyncio; ``async with`` starts it.

    It lives on a loop of its own, so nothing that its user's loop is busy with holds it up.
    """

    asynchronous: ClassVar[bool] = True

    async def __aenter__(self) -> Self:
        await self._engine.open_async()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()  # noqa: ASYNC102 - bounded in there

    async def scale(
        self,
        n: int | None = None,
        *,
        cores: int | None = None,
        memory: str | float | None = None,
    ) -> None:
        """Have so many workers, soon: see `BlockingCluster.scale`."""
        self._scale(n, cores=cores, memory=memory)

    async def adapt(
        self, minimum: int | None = 0, maximum: float | None = math.inf, **options: Any
    ) -> None:
        """Have as many workers as the work needs: see `BlockingCluster.adapt`."""
        self._adapt(minimum=minimum, maximum=maximum, **options)

    async def wait_for_workers(
        self,
        n: int | None = None,
        timeout: float | str | None = None,  # noqa: ASYNC109 - Dask's name
    ) -> None:
        """Wait until there are enough workers: see `BlockingCluster.wait_for_workers`."""
        await self._engine.call_async(self._live_handle.wait_for_workers, n, seconds_of(timeout))

    async def close(self) -> None:
        """End all of it, and wait until that is done; a cancellation does not cut it short."""
        await self._engine.close_async()


def show_line(line: str) -> None:
    """What the servers, or tasks, write on stderr goes to this program's."""
    with suppress(OSError, ValueError):  # closed, or nobody reads it
        print(line, end="" if line.endswith("\r") else "\n", file=sys.stderr, flush=True)  # noqa: T201
