"""Clusters whose workers are jobs of a batch system, as objects."""

from __future__ import annotations

from typing import Any, ClassVar

from trio_dask.deploy.base import AsyncCluster, BlockingCluster, ClusterBase, show_line
from trio_dask.deploy.engine import Engine
from trio_dask.deploy.job_plan import JobPlan, plan_jobs
from trio_dask.deploy.job_systems import LSF, PBS, SGE, SLURM, JobSystem
from trio_dask.deploy.jobs import open_jobs_plan


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


class JobQueueCluster(_JobCluster, BlockingCluster):
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

    def scale(
        self,
        n: int | None = None,
        *,
        jobs: int | None = None,
        cores: int | None = None,
        memory: str | float | None = None,
    ) -> None:
        """Have so many workers, jobs, cores, or so much memory, soon.

        Jobs that wait are cancelled first; of those that run the youngest go, when what only
        their workers hold has moved to others. The workers of a job come and go together.
        """
        self._scale(n, jobs=jobs, cores=cores, memory=memory)


class AsyncJobQueueCluster(_JobCluster, AsyncCluster):
    """The same as `JobQueueCluster` for async code; ``async with`` starts it."""

    async def scale(
        self,
        n: int | None = None,
        *,
        jobs: int | None = None,
        cores: int | None = None,
        memory: str | float | None = None,
    ) -> None:
        """Have so many workers, soon: see `JobQueueCluster.scale`."""
        self._scale(n, jobs=jobs, cores=cores, memory=memory)


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
