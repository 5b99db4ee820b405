"""Which jobs there shall be: decided from those that there are, and the workers that have come."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final, TypeAlias

#: So many looks in a row at which a job is not listed are no chance.
UNLISTED_MAX: Final = 3
#: So many without a worker of it: it might be about to come back.
ABSENT_MAX: Final = 10
#: So many jobs in a row that end without a worker are enough.
FRUITLESS_MAX: Final = 5


@dataclass(frozen=True, slots=True)
class Submit:
    """Have a job with this number of ours."""

    number: int


@dataclass(frozen=True, slots=True)
class Retire:
    """Have workers leave in good order; their job ends with them.

    Where they cannot, as nobody is left to take what they hold, the jobs are to be cancelled.
    """

    names: tuple[str, ...]
    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Cancel jobs, by the system's numbers."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Jobs end before there is a worker in them: more of them would, too."""

    why: str


Wish: TypeAlias = Submit | Retire | Cancel | GiveUp


@dataclass(slots=True)
class Job:
    """One job, from its submission on."""

    number: int
    names: tuple[str, ...]  # of its workers
    id: str = ""
    joined: bool = False
    leaving: bool = False
    unlisted: int = 0  # looks in a row
    absent: int = 0  # the same, without a worker of it
    here: int = 0
    gone: set[str] = field(default_factory=set)  # of its workers, for good


@dataclass(slots=True)
class JobBooks:
    """All jobs of one cluster.

    Args:
        name: what the workers' names begin with.
        per_job: how many workers each has.
    """

    name: str
    per_job: int = 1
    jobs: dict[int, Job] = field(default_factory=dict)
    _numbers: int = 0
    _fruitless: int = 0

    def look(self, wanted: int, here: set[str], listed: set[str] | None) -> list[Wish]:
        """What there is to do.

        Args:
            wanted: how many workers there shall be.
            here: the names of those that there are.
            listed: the system's numbers of jobs; None: it did not say.
        """
        for job in list(self.jobs.values()):
            self._see(job, here, listed)
        if self._fruitless >= FRUITLESS_MAX:
            return [GiveUp(f"{self._fruitless} jobs in a row have ended without a worker")]
        wishes: list[Wish] = []
        jobs = math.ceil(wanted / self.per_job)
        staying = [job for job in self.jobs.values() if not job.leaving]
        for _ in range(jobs - len(staying)):
            self._numbers += 1
            number = self._numbers - 1
            self.jobs[number] = Job(number, self._names(number))
            wishes.append(Submit(number))
        # Those whose workers have left already are not to be made up for by others.
        staying = [job for job in staying if job.here or not job.joined]
        if len(staying) > jobs:
            wishes += self._send_away(staying, len(staying) - jobs)
        return wishes

    def _names(self, number: int) -> tuple[str, ...]:
        own = f"{self.name}-{number}"
        return (own,) if self.per_job == 1 else tuple(f"{own}-{at}" for at in range(self.per_job))

    def _see(self, job: Job, here: set[str], listed: set[str] | None) -> None:
        job.here = sum(name in here for name in job.names)
        if job.here:
            job.joined, job.absent, self._fruitless = True, 0, 0
        else:
            job.absent += 1
        if listed is not None and job.id:
            job.unlisted = 0 if job.id in listed else job.unlisted + 1
        ended = job.unlisted >= UNLISTED_MAX or (job.joined and job.absent >= ABSENT_MAX)
        if ended and not job.here:
            del self.jobs[job.number]
            self._fruitless += not job.joined and not job.leaving

    def _send_away(self, staying: list[Job], count: int) -> list[Wish]:
        """The youngest go first, and of these what waits before what works."""
        order = sorted(staying, key=lambda job: (job.here > 0, -job.number))[:count]
        retired: list[str] = []
        with_them: list[str] = []
        cancelled: list[str] = []
        for job in order:
            job.leaving = True
            if job.here:
                retired += job.names
                with_them += [job.id] if job.id else []
            elif job.id:
                cancelled.append(job.id)
        wishes: list[Wish] = [Retire(tuple(retired), tuple(with_them))] if retired else []
        return [*wishes, Cancel(tuple(cancelled))] if cancelled else wishes

    def gone(self, names: set[str]) -> None:
        """Workers have been let go of: the jobs that have no others are about to end."""
        for job in self.jobs.values():
            job.gone |= names.intersection(job.names)
            job.leaving = job.leaving or len(job.gone) == len(job.names)

    def submitted(self, number: int, job_id: str) -> list[Wish]:
        """The system has taken it. If it is not wanted any more, it is to be cancelled."""
        job = self.jobs[number]
        job.id = job_id
        return [Cancel((job_id,))] if job.leaving else []

    def refused(self, number: int) -> None:
        """The system has not taken it."""
        del self.jobs[number]
        self._fruitless += 1

    def ids(self) -> tuple[str, ...]:
        """The system's numbers of all that there may be."""
        return tuple(job.id for job in self.jobs.values() if job.id)
