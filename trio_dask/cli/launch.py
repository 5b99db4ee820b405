"""Launchers of MPI: which process of how many this one is, as they tell each in its environment.

Nothing of MPI itself is needed: what the processes of a cluster say to one another goes
through the cluster's own connections.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The ranks of the scheduler and, where there is one, of the script.
SCHEDULER: Final = 0
SCRIPT: Final = 1


@dataclass(frozen=True, slots=True)
class Place:
    """One process of a launch."""

    rank: int
    size: int
    #: How many of them are on this host, as far as that is told.
    on_host: int = 1
    #: The same for all of a launch, and for no other one; empty if that is not told.
    launch: str = ""

    @property
    def file_name(self) -> str:
        """What the file is called by which the others find the scheduler."""
        digest = hashlib.sha256(self.launch.encode()).hexdigest()[:16]
        return f"mpi-{digest}.json"


@dataclass(frozen=True, slots=True)
class _Launcher:
    """The variables of one kind of launcher; of several names the first that is there counts."""

    rank: str
    size: tuple[str, ...]
    on_host: tuple[str, ...]


#: In this order: Slurm's variables are also those of a job in which another launcher is used.
_LAUNCHERS: Final = (
    _Launcher("OMPI_COMM_WORLD_RANK", ("OMPI_COMM_WORLD_SIZE",), ("OMPI_COMM_WORLD_LOCAL_SIZE",)),
    _Launcher("PMI_RANK", ("PMI_SIZE",), ("MPI_LOCALNRANKS",)),
    _Launcher(
        "SLURM_PROCID",
        ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
        ("SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"),
    ),
)
#: What names a launch; where nothing does, what names the job that it is in has to do.
_LAUNCHES: Final = ("PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid")
_JOBS: Final = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "JOB_ID")


def place_in(environ: Mapping[str, str], asked: str = "") -> Place | None:
    """The place that a launcher has told; None if there was no launcher.

    `asked` is the name of the launch as the launcher has answered it, if it was asked.

    >>> place_in({"PMI_RANK": "1", "PMI_SIZE": "5"}, "kvs_1")
    Place(rank=1, size=5, on_host=1, launch='kvs_1')

    Raises:
        ConfigError: what is told makes no sense.
    """
    for each in _LAUNCHERS:
        # A job's script has a rank in Slurm, too: of a step there is a number.
        if each.rank in environ and (each.rank != "SLURM_PROCID" or "SLURM_STEP_ID" in environ):
            rank = _number(environ, each.rank)
            size = max((_number(environ, name) for name in each.size if name in environ), default=1)
            if rank >= size:
                msg = f"{each.rank}={rank} of {size} processes: the launcher contradicts itself"
                raise ConfigError(msg)
            told = next((environ[name] for name in each.on_host if name in environ), "1")
            on_host = tasks_on_node(told, environ.get("SLURM_NODEID", "0"))
            return Place(rank, size, on_host, _launch(environ, asked))
    return None


def _launch(environ: Mapping[str, str], asked: str) -> str:
    for name in _LAUNCHES:
        if environ.get(name):
            return environ[name]
    if environ.get("SLURM_STEP_ID"):
        return f"{environ.get('SLURM_JOB_ID', '')}.{environ['SLURM_STEP_ID']}"
    return asked or next((environ[name] for name in _JOBS if environ.get(name)), "")


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ[name]
    if not re.fullmatch("[0-9]{1,9}", text):
        msg = f"{name}={text!r} in the environment is no number of a process"
        raise ConfigError(msg)
    return int(text)


def tasks_on_node(text: str, node: str) -> int:
    """How many there are on one node, from a list as Slurm has it; 1 if it is no list.

    >>> [tasks_on_node("4(x2),1", str(node)) for node in range(4)]
    [4, 4, 1, 1]
    """
    counts: list[int] = []
    for count, times in re.findall(r"(\d{1,6})(?:\(x(\d{1,6})\))?", text):
        counts += [int(count)] * min(int(times or 1), 1_000_000)
    at = int(node) if node.isascii() and node.isdecimal() and len(node) < 8 else 0
    return max(1, counts[at]) if at < len(counts) else 1


def threads_each(place: Place, usable: int, of_machine: int) -> int:
    """How many processors are this process's own.

    Those that it is bound to, if the launcher has bound it; else its share of all.

    >>> threads_each(Place(0, 8, on_host=4), 16, 16), threads_each(Place(0, 8, on_host=4), 2, 16)
    (4, 2)
    """
    return usable if usable < of_machine else max(1, usable // place.on_host)
