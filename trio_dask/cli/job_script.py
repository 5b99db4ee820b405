"""``trio-dask job-script``: what a batch system is given, for workers or for a cluster of its own."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from cyclopts import Parameter

from trio_dask.cli.checks import as_options, given_to
from trio_dask.cli.options import WORK_OPTIONS
from trio_dask.cli.spec import option_words
from trio_dask.config import load_config, parse_bytes, parse_seconds
from trio_dask.deploy import job_script as rendered
from trio_dask.errors import ConfigError

System: TypeAlias = Literal["slurm", "pbs", "sge", "lsf"]

#: A worker whose job begins when its cluster is gone looks for it for so long.
_DEATH_TIMEOUT: Final = "60s"
#: The scheduler, the script, and a worker.
_LEAST: Final = 3


def job_script(
    system: System,
    /,
    *words: Annotated[str, Parameter(allow_leading_hyphen=True, show=False, validator=())],
    cores: int,
    memory: str | None = None,
    processes: int | None = None,
    nodes: int | None = None,
    queue: str = "",
    account: str = "",
    walltime: str = "",
    resource_spec: str = "",
    parallel_environment: str = "",
    job_extra_directives: Annotated[
        list[str] | None, Parameter(negative="", allow_leading_hyphen=True)
    ] = None,
    job_script_prologue: Annotated[list[str] | None, Parameter(negative="")] = None,
    name: str | None = None,
    log_directory: str = "",
    launcher: str | None = None,
    python: str | None = None,
    shebang: str = "#!/bin/sh",
    scheduler_file: Annotated[Path | None, Parameter(group=WORK_OPTIONS)] = None,
    local_directory: Annotated[Path | None, Parameter(group=WORK_OPTIONS)] = None,
    interface: Annotated[str | None, Parameter(group=WORK_OPTIONS)] = None,
    resources: Annotated[str | None, Parameter(group=WORK_OPTIONS)] = None,
    death_timeout: Annotated[str, Parameter(group=WORK_OPTIONS)] = _DEATH_TIMEOUT,
) -> None:
    """Print a script for a batch system.

    Args:
        system: Which batch system.
        words: A script, and its arguments, to be run with a cluster in the job.
        cores: Processors of the job; with a script, of each of its nodes.
        memory: The same of memory, as `64GiB`.
        processes: How many processes they are shared among. [default: 1; of sge with a script, as
            many as cores]
        nodes: With a script: how many nodes the job has. [default: 1]
        queue: The queue, or partition.
        account: Who pays: an account or a project.
        walltime: How long it may take, as the system writes it.
        resource_spec: What is asked for instead, of pbs, or as well, of sge, by `-l`.
        parallel_environment: What sge has for jobs of several processes, as `mpi`.
        job_extra_directives: A line more for the system, as `--exclusive`. Several times.
        job_script_prologue: A line to be run first, as `module load python`. Several times.
        name: The job's name. [default: dask- and the system]
        log_directory: Where the job's output goes. [default: where it is submitted]
        launcher: What starts the processes, with a script. [default: srun, or mpirun]
        python: The interpreter on the nodes. [default: this one]
        shebang: The first line.
        scheduler_file: Where workers find their scheduler, without a script: the file that
            `trio-dask scheduler` has written with its option of that name.
        local_directory: Where tasks may write files.
        interface: The network interface to listen on, as `ib0`.
        resources: What tasks may ask for, of each worker, as `"GPU=2 MEM=10e9"`.
        death_timeout: Give up when there is no scheduler for so long.
    """
    if bool(words) == (scheduler_file is not None):
        msg = (
            "for workers give --scheduler-file, where they find their scheduler; for a cluster of "
            "its own a script, as in `trio-dask job-script slurm --cores 16 --nodes 4 script.py`"
        )
        raise ConfigError(msg)
    if nodes is not None and not words:
        msg = f"--nodes {nodes} is for a cluster with a script; submit so many jobs with workers"
        raise ConfigError(msg)
    if processes is None:
        processes = cores if words and system == "sge" else 1
    if words and system == "sge" and processes != cores:
        msg = (
            f"--processes {processes}: sge gives each process a slot, so that with a script "
            f"there are as many as --cores {cores}"
        )
        raise ConfigError(msg)
    total = (nodes or 1) * processes
    if words and 0 < total < _LEAST:
        msg = (
            f"scheduler, script and worker take at least {_LEAST} processes, not {total}: "
            "--nodes says how many nodes there are, --processes how many each has"
        )
        raise ConfigError(msg)
    if words and system == "sge" and not parallel_environment:
        msg = "--parallel-environment: sge needs the name of one, which `qconf -spl` lists"
        raise ConfigError(msg)
    with given_to("--memory"):
        nbytes = parse_bytes(memory) if memory else None
    with given_to("--death-timeout"):
        parse_seconds(death_timeout)
    load_config(
        overrides={"worker.resources": resources}, spelled={"worker.resources": "--resources"}
    )
    options: dict[str, object] = {
        "local-directory": local_directory,
        "interface": interface,
        "resources": resources,
        "death-timeout": death_timeout,
        "nthreads": max(1, cores // max(1, processes)),
        "memory-limit": nbytes // max(1, processes) if nbytes else None,
    }
    if words:
        command = ["mpi", *_words(options), "--", *words]
    else:
        own = {"scheduler-file": scheduler_file and scheduler_file.absolute()}
        command = ["worker", *_words({**own, **options, "nworkers": processes})]
    with as_options():
        text = rendered(
            system, [python or sys.executable, "-P", "-m", "trio_dask", *command],
            launcher=launcher, prologue=job_script_prologue or (), shell=shebang, cores=cores,
            memory=memory, processes=processes, nodes=(nodes or 1) if words else 0, queue=queue,
            account=account, walltime=walltime, resource_spec=resource_spec, name=name,
            parallel_environment=parallel_environment, log_directory=log_directory,
            extra=job_extra_directives or (),
        )  # fmt: skip
    print(text, end="")


def _words(options: Mapping[str, object]) -> list[str]:
    return [word for name, value in options.items() for word in option_words(name, value)]
