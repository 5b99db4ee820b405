"""How many workers that is: of cores, of memory, and of the processes that they come in."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from trio_dask.config import format_bytes, parse_bytes
from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSize:
    """What a worker of a cluster has, as far as that is known before there is one.

    >>> size = WorkerSize(cores=4, memory=8 * 2**30)
    >>> size.count(cores=9)
    3
    >>> size.bounds(minimum=1, maximum_memory="40GiB", maximum_cores=100)
    (1, 5)
    """

    #: How many tasks it runs at once; 0: not known.
    cores: int = 0
    #: Its memory limit, in bytes; 0: it has none, or it is not known.
    memory: int = 0
    #: So many come and go together, as the workers of one job.
    together: int = 1
    #: There is room for so many.
    most: float = math.inf
    #: What would have to be said for the other ones to be known.
    cores_said_by: str = ""
    memory_said_by: str = ""

    def count(
        self,
        n: object = None,
        *,
        jobs: object = None,
        cores: object = None,
        memory: str | float | None = None,
    ) -> int:
        """How many workers that are: by number, by jobs, or with so many cores or bytes.

        Raises:
            ConfigError: nothing is asked for, or two things, or more than there is room for.
        """
        if sum(each is not None for each in (n, jobs, cores, memory)) != 1:
            msg = "scale takes one of n, jobs, cores and memory"
            raise ConfigError(msg)
        if jobs is not None:
            wanted = checked_count(jobs, "jobs") * self.together
        elif cores is not None:
            wanted = math.ceil(checked_count(cores, "cores") / self._cores("scale(cores=…)"))
        elif memory is not None:
            nbytes = parse_bytes(memory)
            wanted = math.ceil(nbytes / self._memory("scale(memory=…)"))
        else:
            wanted = checked_count(n)
        if wanted > self.most:
            msg = f"{wanted} workers: there is room for {self.most:g}"
            raise ConfigError(msg)
        return self._whole(wanted)

    def bounds(
        self,
        *,
        minimum: object = 0,
        maximum: object = math.inf,
        minimum_cores: object = None,
        maximum_cores: object = None,
        minimum_memory: str | float | None = None,
        maximum_memory: str | float | None = None,
    ) -> tuple[int, float]:
        """Between how many workers that is. What is said twice holds twice: the stricter counts.

        Raises:
            ConfigError: it makes no sense.
        """
        minimum = 0 if minimum is None else minimum
        maximum = math.inf if maximum is None else maximum
        least, most = _number("minimum", minimum), _number("maximum", maximum)
        said = [_said("minimum", minimum, least), _said("maximum", maximum, most)]
        for name, cores in (("minimum_cores", minimum_cores), ("maximum_cores", maximum_cores)):
            if cores is not None:
                many = _number(name, cores) / self._cores(f"adapt({name}={cores!r})")
                least, most = _stricter(name, many, least, most)
                said.append(f"{name}={cores}, with {_cores(self.cores)} for each worker")
        for name, memory in (
            ("minimum_memory", minimum_memory), ("maximum_memory", maximum_memory)
        ):  # fmt: skip
            if memory is not None:
                each = self._memory(f"adapt({name}={memory!r})")
                least, most = _stricter(name, _bytes(name, memory) / each, least, most)
                said.append(f"{name}={memory!r}, with {format_bytes(each)} for each worker")
        if self.most < math.inf:
            said.append(f"there is room for {self.most:g}")
        if self.together > 1:
            said.append(f"{self.together} come together")
        # Up to the next whole process, and down to it: no more than was allowed, nor less.
        least = math.ceil(least / self.together) * self.together
        most = min(most, self.most)
        most = most if most == math.inf else most // self.together * self.together
        if not least <= most or most < 1:
            reasons = "; ".join(each for each in said if each)
            msg = f"adapt: no number of workers is from {least:g} to {most:g} ({reasons})"
            raise ConfigError(msg)
        return int(least), most

    def _whole(self, wanted: int) -> int:
        return math.ceil(wanted / self.together) * self.together

    def _cores(self, called: str) -> int:
        if self.cores:
            return self.cores
        msg = f"{called}: it is not known how many cores a worker has; {self.cores_said_by}"
        raise ConfigError(msg)

    def _memory(self, called: str) -> int:
        if self.memory:
            return self.memory
        msg = f"{called}: it is not known how much memory a worker has; {self.memory_said_by}"
        raise ConfigError(msg)


def size_of_worker(options: Mapping[str, Any], **more: Any) -> WorkerSize:
    """As far as options of ``trio-dask worker`` say.

    >>> size_of_worker({"nthreads": 2, "memory_limit": "1GiB"}).memory
    1073741824
    >>> size_of_worker({"memory_limit": "auto"})
    WorkerSize(cores=0, memory=0, together=1, most=inf, cores_said_by='', memory_said_by='')

    Raises:
        ConfigError: an option makes no sense.
    """
    threads = options.get("nthreads")
    if threads is not None and (not str(threads).isdecimal() or int(threads) < 1):
        msg = f"nthreads={threads!r}: a whole number of at least 1"
        raise ConfigError(msg)
    return WorkerSize(cores=int(threads or 0), memory=_limit(options.get("memory_limit")), **more)


def _limit(option: Any) -> int:
    """The bytes that a worker's option says; 0 for what depends on the machine there."""
    with suppress(TypeError, ValueError):
        if 0 < float(option) <= 1:
            return 0
    return 0 if option is None or option == "auto" else parse_bytes(option)


def checked_count(n: object, of: str = "workers") -> int:
    """A number of workers, or of something else.

    Raises:
        ConfigError: it is none.
    """
    if type(n) is not int or n < 0:
        msg = f"{n!r} {of}: it is a whole number of at least 0"
        raise ConfigError(msg)
    return n


def _number(name: str, value: object) -> float:
    if type(value) is int and value >= 0:
        return value
    if name.startswith("maximum") and value == math.inf:
        return math.inf
    msg = f"adapt({name}={value!r}): it is a whole number of at least 0"
    raise ConfigError(msg)


def _bytes(name: str, value: str | float) -> float:
    if name.startswith("maximum") and value == math.inf:
        return math.inf
    try:
        return parse_bytes(value)
    except ConfigError as error:
        msg = f"adapt({name}=…): {error}"
        raise ConfigError(msg) from error


def _stricter(name: str, many: float, least: float, most: float) -> tuple[float, float]:
    if name.startswith("minimum"):
        return max(least, math.ceil(many)), most
    return least, min(most, many if many == math.inf else math.floor(many))


def _said(name: str, value: object, number: float) -> str:
    return f"{name}={value}" if 0 < number < math.inf or (name == "maximum" and not number) else ""


def _cores(count: int) -> str:
    return f"{count} core{'' if count == 1 else 's'}"
