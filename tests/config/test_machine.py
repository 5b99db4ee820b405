"""Limits of containers, from directories that look like theirs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_dask.config.machine import automatic_workers, cgroup_cpus, cgroup_memory

if TYPE_CHECKING:
    from pathlib import Path


def test_version_2_limits_of_all_parents_count(tmp_path: Path) -> None:
    """The tightest limit on the way to the root holds."""
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (inner / "cpu.max").write_text("max 100000\n")
    (inner / "memory.max").write_text("max\n")
    (tmp_path / "a" / "cpu.max").write_text("150000 100000\n")
    (tmp_path / "a" / "memory.max").write_text("1000000\n")
    assert cgroup_cpus(tmp_path, "0::/a/b\n") == 1.5
    assert cgroup_memory(tmp_path, "0::/a/b\n") == 1_000_000


def test_version_1_limits(tmp_path: Path) -> None:
    """The older layout is read, too."""
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("200000")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000")
    (tmp_path / "memory").mkdir()
    (tmp_path / "memory" / "memory.limit_in_bytes").write_text("5000")
    assert cgroup_cpus(tmp_path, "4:cpu:/x\n") == 2.0
    assert cgroup_memory(tmp_path, "4:memory:/x\n") == 5000


def test_no_limits(tmp_path: Path) -> None:
    """Where nothing is said, nothing is limited."""
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1")
    assert cgroup_cpus(tmp_path, "") == math.inf
    assert cgroup_memory(tmp_path, "") == math.inf


def test_automatic_workers_use_every_processor() -> None:
    """Workers times slots are the processors, whatever their number."""
    for cpus in range(1, 200):
        workers, threads = automatic_workers(cpus)
        assert workers * threads == cpus
