"""What ended a runner: read from the system's counters, and from samples taken while it lived."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from trio_dask.scheduler.core.brief import is_brief
from trio_dask.worker.core import (
    MemorySamples,
    OomLedger,
    certificate,
    control_groups,
    oom_kills,
)
from trio_dask.worker.core.tail import ALL_SHOWN_MAX
from trio_dask.worker.coroner import Coroner

if TYPE_CHECKING:
    from pathlib import Path

V2 = "low 0\nhigh 0\nmax 41\noom 3\noom_kill 2\noom_group_kill 0\n"
V1 = "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n"
VMSTAT = "nr_free_pages 5752309\noom_kill 0\nnuma_hit 1\n"


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("0::/user.slice/session.scope\n", ("/user.slice/session.scope", None)),
        ("0::/\n", ("/", None)),
        ("12:cpuset:/\n4:memory:/docker/abc\n1:name=systemd:/x\n", (None, "/docker/abc")),
        ("5:cpu,memory:/a:b\n0::/\n", ("/", "/a:b")),
        ("", (None, None)),
        ("garbage\n::\n0:memory\n4:memory:relative\n", (None, None)),
    ],
)
def test_control_groups(text: str, groups: tuple[str | None, str | None]) -> None:
    """Of both versions, alone and side by side, with colons in names, or nothing at all."""
    assert control_groups(text) == groups


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (V2, 2),
        (V1, 7),
        (VMSTAT, 0),
        ("", None),
        ("oom 3\n", None),
        ("oom_kill x\noom_kill\n", None),
    ],
)
def test_counters(text: str, count: int | None) -> None:
    """One name in three files; older systems do not have it."""
    assert oom_kills(text) == count


def test_each_kill_explains_one_death() -> None:
    """And only one that comes with it: what others died of earlier is not ours."""
    ledger = OomLedger(5)
    assert not ledger.explain(5, 0.0)
    assert ledger.explain(6, 1.0)
    assert not ledger.explain(6, 1.1)
    ledger.look(8, 2.0)
    assert ledger.explain(8, 2.1)
    assert ledger.explain(8, 6.9)
    assert not ledger.explain(8, 6.9)
    ledger.look(9, 10.0)
    assert not ledger.explain(9, 15.1)
    ledger.look(3, 16.0)  # another group, or a counter that began anew
    assert not ledger.explain(3, 16.0)
    assert ledger.explain(4, 16.0)


def test_no_samples() -> None:
    """A runner that died before it was looked at."""
    assert (MemorySamples().last, MemorySamples().before(1.0)) == (None, [])


def test_samples_end_with_the_last_ones() -> None:
    """Old ones are forgotten; each says how long before the end it was taken."""
    samples = MemorySamples()
    for second in range(100):
        samples.add(float(second), second << 20)
    assert samples.last == 99 << 20
    assert samples.before(99.5)[-2:] == [[1.5, 98 << 20], [0.5, 99 << 20]]
    assert len(samples.before(99.5)) == 10


@dataclass
class Hosted:
    """A runner as far as the coroner is concerned."""

    pid: int
    output: None = None
    peak_rss: int | None = None


@pytest.mark.parametrize(
    ("own", "file"),
    [
        ("0::/a/b\n", "a/b/memory.events"),
        ("0::/of/the/host\n", "memory.events"),
        ("0::/\n4:memory:/a/b\n", "memory/a/b/memory.oom_control"),
        ("4:memory:/of/the/host\n", "memory/memory.oom_control"),
        ("0::/\n", "../proc/vmstat"),
    ],
)
def test_where_it_is_counted(tmp_path: Path, own: str, file: str) -> None:
    """In the group of the runner, or what a container shows of it; else for the whole machine."""
    root, proc = tmp_path / "root", tmp_path / "proc"
    me = os.getpid()
    (proc / str(me)).mkdir(parents=True)
    (proc / str(me) / "cgroup").write_text(own, encoding="ascii")
    counter = root / file
    counter.parent.mkdir(parents=True, exist_ok=True)
    root.mkdir(exist_ok=True)
    counter.write_text("oom_kill 1\n", encoding="ascii")
    coroner = Coroner("vm", root, proc)
    first, second, third = (coroner.open(Hosted(me)) for _ in range(3))  # type: ignore[arg-type]
    assert first.look()["rss"] == first.rss
    counter.write_text("oom_kill 2\n", encoding="ascii")
    death = first.close(-9, [(7, 0.0)], reason="", on_purpose=False)
    assert death["oom"] is True
    assert death["reason"] == "killed by SIGKILL for want of memory"
    assert death["running"][0][0] == 7
    assert len(death["memory"]) == 1
    assert "oom" not in second.close(-9, [], reason="", on_purpose=False)
    counter.write_text("oom_kill 3\n", encoding="ascii")
    assert "oom" not in second.close(-9, [], reason="it was cancelled", on_purpose=True)
    assert "oom" not in second.close(-11, [], reason="", on_purpose=False)
    counter.unlink()
    assert "oom" not in third.close(-9, [], reason="", on_purpose=False)


def test_the_longest_certificate_is_short_enough() -> None:
    """For the scheduler, which turns away what says too much."""
    made = certificate(
        -9, pid=1 << 22, host="h" * 255, lasted_s=1e9, rss=1 << 50, peak_rss=1 << 50,
        reason="r" * 100_000, oom=True, on_purpose=True,
        memory=[[1e9, 1 << 50]] * 10, running=[(1 << 60, 1e9)] * 10_000,
        output=["x" * 163] * 50,
    )  # fmt: skip
    assert sum(map(len, made["output"])) <= ALL_SHOWN_MAX
    assert is_brief(made)
