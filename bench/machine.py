"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from time import perf_counter
from typing import Any, Final

import psutil

_PACKAGES: Final = ("trio-dask", "trio", "anyio", "msgpack", "distributed", "dask", "cloudpickle")
_LOOPS: Final = 1_000_000
_TRIES: Final = 3


def loops_per_second() -> float:
    """How fast a plain loop is: the best of some tries. Machines, and moments, differ by it."""
    return max(_loop() for _ in range(_TRIES))


def _loop() -> float:
    began = perf_counter()
    count = 0
    for number in range(_LOOPS):
        count += number & 1
    assert count == _LOOPS // 2
    return _LOOPS / (perf_counter() - began)


def facts() -> dict[str, Any]:
    """What to know of the machine, now."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": platform.platform(),
        "processor": platform.machine(),
        "cpus": len(psutil.Process().cpu_affinity())
        if hasattr(psutil.Process, "cpu_affinity")
        else os.cpu_count(),
        "memory GiB": round(psutil.virtual_memory().total / 2**30, 1),
        "load": [round(each, 2) for each in os.getloadavg()],
        "python": platform.python_version(),
        "versions": dict(_versions()),
    }


def _versions() -> Any:
    for package in _PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            continue
