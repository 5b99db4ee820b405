"""What this process may use of the machine: processors and memory, container limits included."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Final

_CGROUP: Final = Path("/sys/fs/cgroup")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def _own_cgroup(root: Path, own: str) -> list[Path]:
    """The directories whose limits hold for this process, innermost first."""
    for line in own.splitlines():
        hierarchy, _, path = line.partition("::")
        if hierarchy == "0" and path:
            inner = root / path.lstrip("/")
            return [inner, *(each for each in inner.parents if each.is_relative_to(root))]
    return [root]


def cgroup_cpus(root: Path = _CGROUP, own: str | None = None) -> float:
    """Processors allowed by the cgroup, version 2 or 1; infinite where there is no limit."""
    own = _read(Path("/proc/self/cgroup")) if own is None else own
    limits = [math.inf]
    for directory in _own_cgroup(root, own):
        quota, _, period = _read(directory / "cpu.max").partition(" ")
        if quota.isdigit() and period.isdigit():
            limits.append(int(quota) / int(period))
    quota = _read(root / "cpu" / "cpu.cfs_quota_us")
    period = _read(root / "cpu" / "cpu.cfs_period_us")
    if quota.isdigit() and period.isdigit():
        limits.append(int(quota) / int(period))
    return min(limits)


def cgroup_memory(root: Path = _CGROUP, own: str | None = None) -> float:
    """Bytes allowed by the cgroup, version 2 or 1; infinite where there is no limit."""
    own = _read(Path("/proc/self/cgroup")) if own is None else own
    texts = [_read(directory / "memory.max") for directory in _own_cgroup(root, own)]
    texts.append(_read(root / "memory" / "memory.limit_in_bytes"))
    return min((float(text) for text in texts if text.isdigit()), default=math.inf)


def cpu_count() -> int:
    """Processors this process may use: affinity and container limit included, at least 1."""
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0))
    else:  # pragma: no cover - macOS, Windows
        cpus = os.cpu_count() or 1
    return max(1, math.ceil(min(cpus, cgroup_cpus())))


def memory_bytes() -> int:
    """Memory this process may use: the machine's, or the container's where that is less."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return int(min(machine, cgroup_memory()))


def automatic_workers(cpus: int) -> tuple[int, int]:
    """Workers and slots of each for ``--nworkers auto``.

    One slot each on small machines; else the smallest divisor of the processors not
    below their root, so that neither one process nor one table of workers is crowded.

    >>> automatic_workers(4), automatic_workers(16), automatic_workers(24)
    ((4, 1), (4, 4), (6, 4))
    """
    if cpus <= 4:
        return cpus, 1
    workers = next(n for n in range(math.isqrt(cpus - 1) + 1, cpus + 1) if cpus % n == 0)
    return workers, cpus // workers
