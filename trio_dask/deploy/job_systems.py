"""Batch systems: what a job's script begins with, and the commands that submit, list and cancel."""

from __future__ import annotations

import math
import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_GIB: Final = 1 << 30
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JobNeeds:
    """What one job is to have."""

    name: str
    cores: int
    memory: int  # bytes; 0: nothing is said
    queue: str = ""
    account: str = ""
    walltime: str = ""
    resource_spec: str = ""
    log_directory: str = ""
    extra: tuple[str, ...] = ()
    #: Of a job on several nodes: how many, and processes on each, between which cores and memory,
    #: those of a node, are shared. 0: it is one process.
    nodes: int = 0
    per_node: int = 1
    #: What Grid Engine calls its way to have several.
    parallel_environment: str = ""

    @property
    def processes(self) -> int:
        """How many the job has."""
        return max(1, self.nodes) * self.per_node

    @property
    def cores_each(self) -> int:
        """How many processors each of them has."""
        return max(1, self.cores // self.per_node)


@dataclass(frozen=True, slots=True)
class JobSystem:
    """One batch system. Scripts are read from standard input."""

    name: str
    #: What the lines of a script begin with that are for the system.
    directive: str
    submit: tuple[str, ...]
    cancel: tuple[str, ...]
    #: Lists the user's jobs, in lines that begin with their numbers.
    listing: tuple[str, ...]
    lines: Callable[[JobNeeds], Iterator[str]] = field(repr=False)
    #: What starts the processes of a job on its nodes.
    launcher: tuple[str, ...] = ("mpirun", "-n", "{processes}")
    #: What goes to the directory that a job was submitted in, where that is not where it begins.
    going: str = ""

    def launching(self, needs: JobNeeds) -> list[str]:
        """The words before a command that is to run as so many processes on the job's nodes."""
        told = {"processes": needs.processes, "cores": needs.cores_each}
        return [word.format(**told) for word in self.launcher]

    def header(self, needs: JobNeeds) -> list[str]:
        """The first lines of a script, those of the user's own last."""
        return [f"{self.directive} {line}" for line in (*self.lines(needs), *needs.extra)]


def job_number(said: str) -> str:
    """The number of a job from what submitting it has said; empty if there is none.

    >>> [job_number(each) for each in ("17;here", "Job <17> is submitted", "17.server", "no")]
    ['17', '17', '17', '']
    """
    found = re.search(r"\d+", said)
    return found[0] if found else ""


def job_numbers(said: str) -> set[str]:
    r"""The numbers of the jobs in a list, which may have lines for people in it.

    >>> sorted(job_numbers("job-ID  state\n-----\n 17 r\n18.server Q\n"))
    ['17', '18']
    """
    return set(re.findall(r"^\s*(\d+)", said, re.MULTILINE))


def script(
    system: JobSystem,
    needs: JobNeeds,
    command: Sequence[str],
    *,
    prologue: Sequence[str] = (),
    environ: Mapping[str, str] | None = None,
    shell: str = "#!/bin/sh",
) -> str:
    """A job: its needs, what the user has to say first, and the command, which takes its place."""
    variables = [f"export {name}={shlex.quote(value)}" for name, value in (environ or {}).items()]
    lines = [shell, *system.header(needs), *variables, *prologue, f"exec {shlex.join(command)}"]
    return "\n".join(lines) + "\n"


def _logs(needs: JobNeeds, number: str) -> str:
    return f"{needs.log_directory or '.'}/{needs.name}-{number}.log"


def _slurm(needs: JobNeeds) -> Iterator[str]:
    yield f"--job-name={needs.name}"
    if needs.nodes:
        yield f"--nodes={needs.nodes}"
        yield f"--ntasks-per-node={needs.per_node}"
    else:
        yield "--ntasks=1"
    yield f"--cpus-per-task={needs.cores_each}"
    if needs.memory:
        yield f"--mem={math.ceil(needs.memory / _MIB)}M"
    if needs.queue:
        yield f"--partition={needs.queue}"
    if needs.account:
        yield f"--account={needs.account}"
    if needs.walltime:
        yield f"--time={needs.walltime}"
    yield f"--output={_logs(needs, '%j')}"


def _pbs(needs: JobNeeds) -> Iterator[str]:
    yield f"-N {needs.name}"
    if needs.queue:
        yield f"-q {needs.queue}"
    if needs.account:
        yield f"-A {needs.account}"
    spec = f"select={max(1, needs.nodes)}:ncpus={needs.cores}"
    if needs.nodes:
        spec += f":mpiprocs={needs.per_node}"
    if needs.memory:
        spec += f":mem={math.ceil(needs.memory / _MIB)}mb"
    yield f"-l {needs.resource_spec or spec}"
    if needs.walltime:
        yield f"-l walltime={needs.walltime}"
    yield "-j oe"
    yield f"-o {needs.log_directory or '.'}"


def _sge(needs: JobNeeds) -> Iterator[str]:
    yield f"-N {needs.name}"
    if needs.queue:
        yield f"-q {needs.queue}"
    if needs.account:
        yield f"-P {needs.account}"
    if needs.parallel_environment:
        slots = needs.processes if needs.nodes else needs.cores
        yield f"-pe {needs.parallel_environment} {slots}"
    if needs.nodes:
        yield "-cwd"
    if needs.resource_spec:
        yield f"-l {needs.resource_spec}"
    if needs.walltime:
        yield f"-l h_rt={needs.walltime}"
    yield "-j y"
    yield f"-o {needs.log_directory or '.'}"


def _lsf(needs: JobNeeds) -> Iterator[str]:
    yield f"-J {needs.name}"
    if needs.queue:
        yield f"-q {needs.queue}"
    if needs.account:
        yield f"-P {needs.account}"
    yield f"-n {needs.processes if needs.nodes else needs.cores}"
    if needs.nodes:
        yield f'-R "span[ptile={needs.per_node}]"'
        if needs.cores_each > 1:
            yield f'-R "affinity[core({needs.cores_each})]"'
    elif needs.cores > 1:
        yield '-R "span[hosts=1]"'
    if needs.memory:
        yield f"-M {math.ceil(needs.memory / _MIB)}MB"
    if needs.walltime:
        yield f"-W {needs.walltime}"
    yield f"-o {_logs(needs, '%J')}"


_ME: Final = "$USER"
SLURM: Final = JobSystem(
    "slurm", "#SBATCH", ("sbatch", "--parsable"), ("scancel",),
    ("squeue", "--noheader", "--format=%i", f"--user={_ME}"), _slurm,
    ("srun", "--kill-on-bad-exit=1", "--cpus-per-task={cores}"),
)  # fmt: skip
PBS: Final = JobSystem(
    "pbs", "#PBS", ("qsub",), ("qdel",), ("qstat", "-u", _ME), _pbs,
    going='cd "$PBS_O_WORKDIR"',
)  # fmt: skip
SGE: Final = JobSystem("sge", "#$", ("qsub", "-terse"), ("qdel",), ("qstat", "-u", _ME), _sge)
LSF: Final = JobSystem(
    "lsf", "#BSUB", ("bsub",), ("bkill",), ("bjobs", "-noheader", "-o", "jobid"), _lsf
)
SYSTEMS: Final = {each.name: each for each in (SLURM, PBS, SGE, LSF)}
