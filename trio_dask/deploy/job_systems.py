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
    yield "--ntasks=1"
    yield f"--cpus-per-task={needs.cores}"
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
    spec = f"select=1:ncpus={needs.cores}"
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
    yield f"-n {needs.cores}"
    if needs.cores > 1:
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
)  # fmt: skip
PBS: Final = JobSystem("pbs", "#PBS", ("qsub",), ("qdel",), ("qstat", "-u", _ME), _pbs)
SGE: Final = JobSystem("sge", "#$", ("qsub", "-terse"), ("qdel",), ("qstat", "-u", _ME), _sge)
LSF: Final = JobSystem(
    "lsf", "#BSUB", ("bsub",), ("bkill",), ("bjobs", "-noheader", "-o", "jobid"), _lsf
)
