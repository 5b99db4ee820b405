"""Clusters whose workers are jobs of a batch system, as objects."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, ClassVar, Self

from trio_dask.client import refuse_running_loop
from trio_dask.config import parse_bytes
from trio_dask.deploy.adaptive import AdaptiveSettings
from trio_dask.deploy.cluster import ClusterBase, show_line
from trio_dask.deploy.engine import Engine
from trio_dask.deploy.handle import checked_count
from trio_dask.deploy.job_plan import JobPlan, plan_jobs
from trio_dask.deploy.job_systems import LSF, PBS, SGE, SLURM, JobSystem
from trio_dask.deploy.jobs import open_jobs_plan
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from types import TracebackType


class _JobCluster(ClusterBase):
    """What both ways of waiting have in common."""

    #: The batch system.
    system: ClassVar[JobSystem]

    def __init__(self, n_workers: int = 0, **options: Any) -> None:
        quiet = options.pop("quiet", True)
        self._plan: JobPlan = plan_jobs(self.system, n_workers, **options)

        def on_line(line: str) -> None:
            if not quiet or " - INFO - " not in line:
                show_line(line)

        plan = self._plan
        self._engine = Engine(plan, lambda: open_jobs_plan(plan, on_line))
        self._begin()

    def job_script(self) -> str:
        """The script of its first job."""
        return self._plan.job_script()

    def _count(
        self, n: int | None, jobs: int | None, cores: int | None, memory: str | int | None
    ) -> int:
        """How many workers that are.

        Raises:
            ConfigError: nothing is asked for, or too much in one.
        """
        given = [each for each in (n, jobs, cores, memory) if each is not None]
        if len(given) != 1:
            msg = "scale takes one of n, jobs, cores and memory"
            raise ConfigError(msg)
        plan = self._plan
        if jobs is not None:
            return checked_count(jobs) * plan.per_job
        if cores is not None:
            return math.ceil(checked_count(cores) / plan.threads_per_worker)
        if memory is not None:
            if not plan.needs.memory:
                msg = "scale(memory=…): this cluster was not told how much memory a job has"
                raise ConfigError(msg)
            return math.ceil(parse_bytes(memory) * plan.per_job / plan.needs.memory)
        return checked_count(n)


class JobQueueCluster(_JobCluster):
    """A scheduler in a child of this process, workers in jobs of a batch system.

    Of each system there is a class: `SLURMCluster`, `PBSCluster`, `SGECluster`, `LSFCluster`.

    >>> from trio_dask import Client
    >>> from trio_dask.deploy import SLURMCluster
    >>> cluster = SLURMCluster(cores=8, memory="16GiB", walltime="01:00:00")  # doctest: +SKIP
    >>> cluster.scale(jobs=10)  # doctest: +SKIP
    >>> client = Client(cluster)  # doctest: +SKIP

    It is there as soon as the scheduler is; workers come as their jobs begin. A job that ends
    is made up for by another one. All of it ends with the block, or with this program.

    Args:
        n_workers: how many workers there shall be at first; `scale` and `adapt` change that.
        cores: of each job, all its workers together.
        memory: of each job, as ``"16GiB"``; None: nothing is said about it.
        processes: how many workers each job has; they share its cores.
        queue: the queue, or partition.
        account: who pays.
        walltime: how long a job may take, as the system writes it.
        resource_spec: what PBS and SGE are asked for, instead of cores and memory.
        job_extra_directives: more lines for the system, without what they begin with.
        job_script_prologue: lines of the script before the worker starts, as ``"module load x"``.
        worker_options: options of ``trio-dask worker``, as ``{"lifetime": "55m"}``.
        scheduler_options: options of ``trio-dask scheduler``, as ``{"interface": "ib0"}``.
        python: the interpreter on the hosts; by default where this one is.
        shebang: the script's first line.
        local_directory: where tasks may write files.
        log_directory: where jobs' output goes, which has to be there.
        shared_directory: a directory that all hosts share, for the scheduler file, which only
            its owner can read; by default in the user's configuration directory.
        name: what the workers' names begin with.
        security: certificates, to have all connections encrypted.
        listing_interval: how often the system is asked which jobs there are.
        start_timeout_s: how long the scheduler's start may take.
        quiet: show warnings and errors of the scheduler only.

    Raises:
        ConfigError: an argument makes no sense, or the system's commands are not there.
        SchedulerUnreachable: the scheduler did not start; the message has its last words.
        RuntimeError: a loop runs in this thread, which must not be blocked.
    """

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
        jobs: int | None = None,
        cores: int | None = None,
        memory: str | int | None = None,
    ) -> None:
        """Have so many workers, jobs, cores, or so much memory, soon.

        Jobs that wait are cancelled first; of those that run the youngest go, when what only
        their workers hold has moved to others.
        """
        handle, count = self._live_handle, self._count(n, jobs, cores, memory)
        self._engine.soon(lambda: handle.scale(count))

    def adapt(self, minimum: int = 0, maximum: float = math.inf, **options: Any) -> None:
        """Have as many workers as the work needs: see `LocalCluster.adapt`."""
        settings = AdaptiveSettings.of(minimum=minimum, maximum=maximum, **options)
        handle = self._live_handle
        self._engine.soon(lambda: handle.adapt(settings))

    def wait_for_workers(self, n: int | None = None, timeout: float | None = None) -> None:
        """Wait until there are at least `n` workers, or as many as `scale` has asked for.

        Raises:
            TimeoutError: not in so many seconds.
            SchedulerUnreachable: the cluster has failed.
        """
        refuse_running_loop(
            f"{type(self).__name__}.wait_for_workers", f"Async{type(self).__name__}"
        )
        self._engine.call(self._live_handle.wait_for_workers, n, timeout)

    def close(self) -> None:
        """Cancel all jobs and end the scheduler, and wait until that is done."""
        self._engine.close()


class AsyncJobQueueCluster(_JobCluster):
    """The same as `JobQueueCluster` for async code; ``async with`` starts it."""

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
        jobs: int | None = None,
        cores: int | None = None,
        memory: str | int | None = None,
    ) -> None:
        """Have so many workers, soon: see `JobQueueCluster.scale`."""
        handle, count = self._live_handle, self._count(n, jobs, cores, memory)
        self._engine.soon(lambda: handle.scale(count))

    async def adapt(self, minimum: int = 0, maximum: float = math.inf, **options: Any) -> None:
        """Have as many workers as the work needs: see `LocalCluster.adapt`."""
        settings = AdaptiveSettings.of(minimum=minimum, maximum=maximum, **options)
        handle = self._live_handle
        self._engine.soon(lambda: handle.adapt(settings))

    async def wait_for_workers(
        self,
        n: int | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - Dask's name
    ) -> None:
        """Wait until there are enough workers: see `JobQueueCluster.wait_for_workers`."""
        await self._engine.call_async(self._live_handle.wait_for_workers, n, timeout)

    async def close(self) -> None:
        """Cancel all jobs and end the scheduler, and wait until that is done."""
        await self._engine.close_async()


class SLURMCluster(JobQueueCluster):
    """Workers in jobs of Slurm: see `JobQueueCluster`."""

    system = SLURM


class AsyncSLURMCluster(AsyncJobQueueCluster):
    """Workers in jobs of Slurm: see `JobQueueCluster`."""

    system = SLURM


class PBSCluster(JobQueueCluster):
    """Workers in jobs of PBS: see `JobQueueCluster`."""

    system = PBS


class AsyncPBSCluster(AsyncJobQueueCluster):
    """Workers in jobs of PBS: see `JobQueueCluster`."""

    system = PBS


class SGECluster(JobQueueCluster):
    """Workers in jobs of Grid Engine: see `JobQueueCluster`."""

    system = SGE


class AsyncSGECluster(AsyncJobQueueCluster):
    """Workers in jobs of Grid Engine: see `JobQueueCluster`."""

    system = SGE


class LSFCluster(JobQueueCluster):
    """Workers in jobs of LSF: see `JobQueueCluster`."""

    system = LSF


class AsyncLSFCluster(AsyncJobQueueCluster):
    """Workers in jobs of LSF: see `JobQueueCluster`."""

    system = LSF
