"""``trio-dask mpi``: a cluster of the processes that mpirun, or srun, has started."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Final

from cyclopts import Parameter

from trio_dask.cli.checks import check_directory_of, check_scratch, given_to, some_path
from trio_dask.cli.launch import SCHEDULER, SCRIPT, Place, place_in, threads_each
from trio_dask.cli.logs import log_to_stderr
from trio_dask.cli.options import (
    DASHBOARD_OPTIONS,
    FILES_OPTIONS,
    LIFE_OPTIONS,
    LISTENING_OPTIONS,
    WORK_OPTIONS,
    LogOptions,
    TlsOptions,
)
from trio_dask.config import (
    AUTO,
    config_directory,
    cpu_count,
    load_config,
    parse_ports,
    parse_seconds,
)
from trio_dask.errors import ConfigError

logger = logging.getLogger("trio_dask.mpi")

_TLS, _LOG = TlsOptions(), LogOptions()
#: A scheduler that does not start is no reason for the others to wait for ever.
_DEATH_TIMEOUT: Final = "120s"
_ANSWER_S: Final = 5.0
_ASK: Final = b"cmd=get_my_kvsname\n"
_END: Final = b"cmd=finalize\n"
_ANSWER: Final = b"cmd=my_kvsname kvsname="


def mpi(
    *words: Annotated[str, Parameter(allow_leading_hyphen=True, show=False, validator=())],
    scheduler_file: Annotated[Path | None, Parameter(group=FILES_OPTIONS)] = None,
    shared_directory: Annotated[Path | None, Parameter(group=FILES_OPTIONS)] = None,
    local_directory: Annotated[
        Path | None, Parameter(group=FILES_OPTIONS, converter=some_path)
    ] = None,
    nworkers: Annotated[
        str | None, Parameter(group=WORK_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    nthreads: Annotated[
        str | None, Parameter(group=WORK_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    memory_limit: Annotated[
        str | None, Parameter(group=WORK_OPTIONS, allow_leading_hyphen=True)
    ] = None,
    name: Annotated[str, Parameter(group=WORK_OPTIONS)] = "mpi",
    resources: Annotated[str | None, Parameter(group=WORK_OPTIONS)] = None,
    nanny: Annotated[bool | None, Parameter(group=WORK_OPTIONS)] = None,
    preload: Annotated[list[str] | None, Parameter(group=WORK_OPTIONS, negative="")] = None,
    scheduler_port: Annotated[
        str, Parameter(group=LISTENING_OPTIONS, allow_leading_hyphen=True)
    ] = "0",
    interface: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    protocol: Annotated[str | None, Parameter(group=LISTENING_OPTIONS)] = None,
    tls: TlsOptions = _TLS,
    dashboard: Annotated[bool | None, Parameter(group=DASHBOARD_OPTIONS)] = None,
    dashboard_address: Annotated[str | None, Parameter(group=DASHBOARD_OPTIONS)] = None,
    death_timeout: Annotated[str, Parameter(group=LIFE_OPTIONS)] = _DEATH_TIMEOUT,
    log: LogOptions = _LOG,
) -> Any:
    """Make a cluster of the processes that mpirun, or srun, starts.

    Args:
        words: The script and its arguments.
        scheduler_file: Write address and token to this file, for clients.
        shared_directory: Where the processes find one another: a directory that all hosts
            share, in which there is a file for that, readable by its owner only.
            [default: clusters, beside the token]
        local_directory: Where tasks may write files, on each host.
        nworkers: How many workers in each process. [default: 1]
        nthreads: How many tasks each worker runs at once. [default: the processors that the
            launcher has bound the process to, or its share of the host's]
        memory_limit: Memory of each worker, as `4GiB`. [default: as its share of processors]
        name: What the workers' names begin with; the rank follows.
        resources: What tasks may ask for, of each worker, as `"GPU=2 MEM=10e9"`.
        nanny: Run tasks in a child process that is restarted when it dies.
        preload: A module, or a file, to load where tasks run. May be given several times.
        scheduler_port: The scheduler's port; 0: any free one; or a range.
        interface: The network interface to listen on, as `ib0`, in all of them.
        protocol: `tcp`, or `tls`, which is encrypted. [default: tcp]
        tls: Certificates.
        dashboard: Have a dashboard. [default: yes]
        dashboard_address: Where it is. [default: :8787, or a free port]
        death_timeout: Give up when there is no scheduler for so long.
        log: What is said on stderr.
    """
    place = place_in(os.environ, launch_asked(os.environ))
    check_size(place, script=bool(words))
    assert place is not None
    check_directory_of(scheduler_file, "--scheduler-file")
    check_scratch(local_directory)
    with given_to("--scheduler-port"):  # which is --port there
        parse_ports(scheduler_port)
    with given_to("--death-timeout"):
        parse_seconds(death_timeout)
    path = meeting_file(place, shared_directory, scheduler_file)
    log_options = {"log_level": log.log_level, "log_format": log.log_format}
    shared = {"interface": interface, "protocol": protocol, **_as_options(tls), **log_options}
    if place.rank == SCHEDULER:
        options = {
            "scheduler_file": scheduler_file if scheduler_file != path else None,
            "workers_file": path,
            "port": scheduler_port,
            "dashboard": dashboard,
            "dashboard_address": dashboard_address,
            **shared,
        }
        return _call("scheduler", options)
    if place.rank == SCRIPT and words:
        log_to_stderr(
            log.log_level, load_config(overrides={"log_format": log.log_format}).log_format
        )
        return _run_script(words, path, death_timeout)
    options = {
        "scheduler_file": path,
        "name": f"{name}-{place.rank}",
        "nworkers": nworkers,
        "nthreads": nthreads or _threads(place, nworkers),
        "memory_limit": memory_limit,
        "resources": resources,
        "nanny": nanny,
        "preload": preload,
        "local_directory": local_directory,
        "death_timeout": death_timeout,
        **shared,
    }
    return _call("worker", options)


def check_size(place: Place | None, *, script: bool) -> None:
    """Whether there are as many processes as there have to be.

    Raises:
        ConfigError: there are not.
    """
    if place is None:
        msg = (
            "no launcher has started this: it is for `mpirun -n 5 trio-dask mpi`, or srun; of Open "
            "MPI, MPICH and its kin, and Slurm there is no rank in the environment"
        )
        raise ConfigError(msg)
    least, parts = (3, "scheduler, script and worker") if script else (2, "scheduler and worker")
    if place.size < least:
        msg = f"{parts} take at least {least} processes, not {place.size}: `mpirun -n {least} …`"
        raise ConfigError(msg)


def meeting_file(place: Place, directory: Path | None, scheduler_file: Path | None) -> Path:
    """The file by which the processes find the scheduler; its directory is there afterwards.

    One that is given, `scheduler_file`, may still be there from another time, so that it only
    has to do if the launcher has not said what is this launch's alone.

    Raises:
        ConfigError: there is no way to know one, or no such directory.
    """
    if not place.launch:
        if scheduler_file is not None:
            return scheduler_file
        msg = (
            "the launcher does not tell which launch this is, and there may be others: give "
            "--scheduler-file, a path that is only used here, in a directory that all hosts share"
        )
        raise ConfigError(msg)
    if directory is None:
        directory = config_directory() / "clusters"
        if place.rank == SCHEDULER:
            try:
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                msg = f"{directory} cannot be made: {error.strerror}; --shared-directory is another"
                raise ConfigError(msg) from error
    elif not directory.is_dir():
        msg = f"--shared-directory: there is no directory {directory} on this host"
        raise ConfigError(msg)
    return directory.absolute() / place.file_name


def launch_asked(environ: Mapping[str, str]) -> str:
    """The name of the launch, from the launcher where that is Hydra, which says it nowhere else.

    It is asked in the words of MPI's programs, and told at once that there will be no more of
    them: it would take the end of one that has not said so for a crash, and kill the others.
    Slurm's own launcher has another language.
    """
    text = environ.get("PMI_FD", "")
    if not text.isdecimal() or len(text) > 6 or "SLURM_STEP_ID" in environ:
        return ""
    with suppress(OSError, ValueError), socket.socket(fileno=os.dup(int(text))) as launcher:
        launcher.settimeout(_ANSWER_S)
        answers = launcher.makefile("rb")
        launcher.sendall(_ASK)
        answer = answers.readline(4096)
        launcher.sendall(_END)
        answers.readline(4096)
        if answer.startswith(_ANSWER):
            return answer[len(_ANSWER) :].decode("ascii", errors="replace").strip()
    return ""


def _threads(place: Place, nworkers: str | None) -> str | None:
    """How many each worker has, if nothing else says so."""
    worker = load_config(
        overrides={"worker.nworkers": nworkers}, spelled={"worker.nworkers": "--nworkers"}
    ).worker
    if worker.nthreads != AUTO or worker.nworkers == AUTO:
        return None
    own = threads_each(place, cpu_count(), os.cpu_count() or 1)
    return str(max(1, own // max(1, worker.nworkers)))


def _as_options(tls: TlsOptions) -> dict[str, Any]:
    return {
        "tls_ca_file": tls.tls_ca_file,
        "tls_cert": tls.tls_cert,
        "tls_key": tls.tls_key,
        "tls_dashboard": tls.tls_dashboard,
    }


def _call(command: str, options: Mapping[str, Any]) -> Any:
    """Become another command."""
    from trio_dask.cli.app import app
    from trio_dask.cli.spec import option_words

    words = [option_words(name.replace("_", "-"), value) for name, value in options.items()]
    return app([command, *chain.from_iterable(words)])


def _run_script(words: Sequence[str], path: Path, death_timeout: str) -> int:
    """The script, as soon as there is a scheduler; the cluster ends with it."""
    from trio_dask.cli.looking import wait_for_scheduler_file
    from trio_dask.cli.run import run
    from trio_dask.cli.serving import run_until_signal
    from trio_dask.client import Client

    there = False

    async def wait() -> None:
        nonlocal there
        await wait_for_scheduler_file(path, parse_seconds(death_timeout), logger)
        there = True

    run_until_signal(wait)
    if not there:  # a signal
        return 1
    try:
        return run(*words, scheduler_file=path)
    finally:
        if path.exists():  # else the script has done so
            with Client(scheduler_file=path) as client:
                client.shutdown()
