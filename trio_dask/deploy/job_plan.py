"""Clusters of jobs to be: what a job is, and what is said in it."""

from __future__ import annotations

import re
import secrets
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from trio_dask.config import Config, config_directory, new_token, parse_bytes, parse_seconds
from trio_dask.deploy.job_systems import SYSTEMS, JobNeeds, JobSystem, script
from trio_dask.deploy.sizes import WorkerSize, size_of_worker
from trio_dask.deploy.ssh_plan import words_of
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from trio_dask.comm import Security

START_S: Final = 30.0
#: How often the batch system is asked which jobs it has: it has others to serve, too.
LISTING_S: Final = 10.0
#: A worker whose job begins when the cluster is gone looks for it for so long.
_DEATH_TIMEOUT: Final = "60s"
#: Options of workers that are said otherwise.
_ELSEWHERE: Final = {
    "n_workers": "processes= here",
    "name": "name= of the cluster, and a number",
    "nworkers": "processes= here",
    "scheduler_file": "in shared_directory=",
}
_NAME: Final = re.compile(r"[A-Za-z][\w.-]{0,60}")


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """A cluster to be: what its jobs are, and what its scheduler is told."""

    system: JobSystem
    needs: JobNeeds
    n_workers: int
    per_job: int
    worker_size: WorkerSize
    #: Where the scheduler file is, and certificates.
    directory: Path
    worker_words: tuple[str, ...] = ()
    scheduler_words: tuple[str, ...] = ()
    prologue: tuple[str, ...] = ()
    shell: str = "#!/bin/sh"
    python: str = sys.executable
    listing_s: float = LISTING_S
    start_timeout_s: float = START_S
    token: str = field(default_factory=new_token, repr=False)
    config: Config = field(default_factory=Config)
    security: Security | None = None

    @property
    def name(self) -> str:
        """What the workers' names begin with, and their jobs' is."""
        return self.needs.name

    @property
    def scheduler_file(self) -> Path:
        """Where workers find the scheduler."""
        return self.directory / "scheduler.json"

    def job_script(self, number: int = 0) -> str:
        """The script of a job."""
        command = [
            self.python, "-P", "-m", "trio_dask", "worker",
            f"--scheduler-file={self.scheduler_file}", f"--name={self.name}-{number}",
            f"--nworkers={self.per_job}", f"--nthreads={self.worker_size.cores}",
            *self.worker_words,
        ]  # fmt: skip
        environ = tls_environ(self.security.written_to(self.directory)) if self.security else {}
        return script(
            self.system, self.needs, command,
            prologue=self.prologue, environ=environ, shell=self.shell,
        )  # fmt: skip


def tls_environ(there: Security) -> dict[str, str]:
    """The settings that certificates in files are."""
    files = {"CA_FILE": there.tls_ca_file, "CERT": there.tls_cert, "KEY": there.tls_key}
    return {f"TRIO_DASK_COMM__TLS__{name}": str(path) for name, path in files.items() if path}


def job_needs(  # noqa: PLR0913 - as many as there is to say of a job
    system: JobSystem,
    *,
    cores: int,
    memory: str | int | None = None,
    processes: int = 1,
    nodes: int = 0,
    queue: str = "",
    account: str = "",
    walltime: str = "",
    resource_spec: str = "",
    parallel_environment: str = "",
    log_directory: str = "",
    name: str | None = None,
    extra: Sequence[str] = (),
) -> JobNeeds:
    """What a job is to have.

    Raises:
        ConfigError: it makes no sense.
    """
    for value, called, least in ((cores, "cores", 1), (processes, "processes", 1),
                                 (nodes, "nodes", 0)):  # fmt: skip
        if type(value) is not int or value < least:
            msg = f"{called}={value!r}: a whole number of at least {least}"
            raise ConfigError(msg)
    if processes > cores:
        msg = f"processes={processes} for cores={cores}: a worker takes at least one core"
        raise ConfigError(msg)
    own = name or f"dask-{system.name}"
    if not _NAME.fullmatch(own):
        msg = f"name={own!r}: letters, digits, dots and dashes, and a letter first"
        raise ConfigError(msg)
    for line in (queue, account, walltime, resource_spec, parallel_environment, log_directory,
                 *extra):  # fmt: skip
        if not line.isprintable():
            msg = f"{line!r} would be more than one line of a job's script"
            raise ConfigError(msg)
    for called, text in (("queue", queue), ("account", account), ("walltime", walltime),
                         ("parallel_environment", parallel_environment),
                         ("log_directory", log_directory)):  # fmt: skip
        if len(text.split()) > 1:
            msg = f"{called}={text!r}: one word, as the batch system writes it"
            raise ConfigError(msg)
    return JobNeeds(
        name=own, cores=cores, memory=0 if memory is None else parse_bytes(memory), queue=queue,
        account=account, walltime=walltime, resource_spec=resource_spec, extra=tuple(extra),
        log_directory=log_directory, parallel_environment=parallel_environment,
        nodes=nodes, per_node=processes if nodes else 1,
    )  # fmt: skip


def job_script(
    system: str,
    command: Sequence[str],
    *,
    launcher: str | None = None,
    prologue: Sequence[str] = (),
    shell: str = "#!/bin/sh",
    **needs: Any,
) -> str:
    """The text of a job that runs this command; on several nodes if `nodes` are needed.

    Args:
        system: One of slurm, pbs, sge, lsf.
        command: Its words.
        launcher: What starts the processes of a job on nodes. [default: srun, or mpirun]
        prologue: Lines to be run first.
        shell: The first line.
        needs: As for the clusters of jobs: cores, memory, processes, queue, account, walltime,
            resource_spec, log_directory, name; nodes, parallel_environment, extra.

    Raises:
        ConfigError: it makes no sense.
    """
    if system not in SYSTEMS:
        msg = f"{system!r} is none of {', '.join(SYSTEMS)}"
        raise ConfigError(msg)
    of = SYSTEMS[system]
    if not shell.startswith("#!/"):
        msg = f"shebang={shell!r}: the first line of a script, as #!/bin/sh"
        raise ConfigError(msg)
    wanted = job_needs(of, **needs)
    words, lines = list(command), list(prologue)
    starting = _launcher(launcher or "")
    if wanted.nodes:
        if of.going:
            lines.insert(0, of.going)
        words = [*(starting or of.launching(wanted)), *words]
    return script(of, wanted, words, prologue=lines, shell=shell)


def _launcher(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        msg = f"launcher={text!r}: {str(error).lower()}"
        raise ConfigError(msg) from error


def _own(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the workers that jobs have no other place for, by their names here.

    Raises:
        ConfigError: an option is said elsewhere.
    """
    own = {name.replace("-", "_"): value for name, value in options.items()}
    for name in own.keys() & _ELSEWHERE.keys():
        msg = f"worker_options: {name} is {_ELSEWHERE[name]}"
        raise ConfigError(msg)
    return own


def plan_jobs(  # noqa: PLR0913 - as many as there is to say of a job
    system: JobSystem,
    n_workers: int = 0,
    *,
    cores: int,
    memory: str | int | None = None,
    processes: int = 1,
    queue: str = "",
    account: str = "",
    walltime: str = "",
    resource_spec: str = "",
    job_extra_directives: Sequence[str] = (),
    job_script_prologue: Sequence[str] = (),
    worker_options: Mapping[str, Any] | None = None,
    scheduler_options: Mapping[str, Any] | None = None,
    python: str | None = None,
    shebang: str = "#!/bin/sh",
    local_directory: str = "",
    log_directory: str = "",
    shared_directory: str | Path | None = None,
    name: str | None = None,
    security: Security | None = None,
    listing_interval: float | str = LISTING_S,
    start_timeout_s: float = START_S,
) -> JobPlan:
    """Settle it.

    Raises:
        ConfigError: it makes no sense.
    """
    if type(n_workers) is not int or n_workers < 0:
        msg = f"n_workers={n_workers!r}: a whole number of at least 0"
        raise ConfigError(msg)
    needs = job_needs(
        system,
        cores=cores,
        memory=memory,
        processes=processes,
        queue=queue,
        account=account,
        walltime=walltime,
        resource_spec=resource_spec,
        extra=job_extra_directives,
        log_directory=log_directory,
        name=name,
    )
    workers: dict[str, Any] = {"death_timeout": _DEATH_TIMEOUT, "nthreads": cores // processes}
    workers |= {"memory_limit": needs.memory // processes} if needs.memory else {}
    workers |= {"local_directory": local_directory} if local_directory else {}
    workers |= _own(worker_options or {})
    size = size_of_worker(workers, together=processes, memory_said_by="memory= says it")
    del workers["nthreads"]  # it has a place of its own
    directory = Path(shared_directory) if shared_directory else config_directory() / "clusters"
    return JobPlan(
        system=system,
        needs=needs,
        n_workers=size.count(n_workers),
        per_job=processes,
        worker_size=size,
        directory=directory.absolute() / f"{needs.name}-{secrets.token_hex(4)}",
        worker_words=words_of(workers),
        scheduler_words=words_of({"port": 0, **(scheduler_options or {})}),
        prologue=tuple(job_script_prologue),
        shell=shebang,
        python=python or sys.executable,
        listing_s=parse_seconds(listing_interval),
        start_timeout_s=start_timeout_s,
        security=security,
    )  # fmt: skip
