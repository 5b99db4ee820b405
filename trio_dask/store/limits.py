"""How many values in memory files there may be: each costs descriptors, of which there are only so many."""

from __future__ import annotations

import contextlib
from typing import Final

#: A value costs its reader so many descriptors, its maker as many, a worker process one.
_EACH: Final = 3
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
    return max(0, many_descriptors() - _OTHERS) // (_EACH * max(1, nworkers))
