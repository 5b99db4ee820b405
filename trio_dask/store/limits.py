"""How many values there may be in files of their own, in memory or on disk: each costs descriptors.

Of those a process has only so many. A value in a memory file costs who made it up to three, who
reads it two, and the worker's process one; one in a file on disk costs one.
"""

from __future__ import annotations

import contextlib
from typing import Final

#: Descriptors for everything else.
_OTHERS: Final = 256


def many_descriptors() -> int:
    """Let this process have as many descriptors as it may; returns how many that are."""
    try:
        import resource
    except ImportError:  # pragma: no cover - Windows has no runners either
        return 0
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(OSError, ValueError):  # macOS has another limit below this one
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return max(0, min(resource.getrlimit(resource.RLIMIT_NOFILE)[0], 1 << 20))


def sealed_max(nworkers: int) -> int:
    """How many values each runner may have in memory files, so that all of them have room."""
    return _part(4 * max(1, nworkers))


def rooms_max(nworkers: int) -> int:
    """How many each worker may read from other hosts into memory files."""
    return _part(12 * max(1, nworkers))


def given_max() -> int:
    """How many a runner may be reading as descriptors; others come to it as bytes."""
    return _part(8)


def files_max(nworkers: int = 1) -> int:
    """How many each worker has in files of their own on disk; others share one."""
    return _part(3 * max(1, nworkers))


def leaving_max(nworkers: int) -> int:
    """How many values of each worker are on their way to files at a time: at least one."""
    return max(1, min(many_descriptors() // (8 * max(1, nworkers)), 256))


def filed_max() -> int:
    """How many of its results a runner keeps open that are on disk: more than `files_max`.

    So it is the worker that has several share a file, before the runner has to keep them in memory.
    """
    return _part(2)


def _part(of: int) -> int:
    """One of so many parts of the descriptors that are for values."""
    return max(0, many_descriptors() - _OTHERS) // of
