"""The coroner: gathers what will be known of a runner's death, while it lives and when it is dead."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psutil

from trio_dask.worker.core import (
    MemorySamples,
    OomLedger,
    certificate,
    control_groups,
    oom_kills,
)

if TYPE_CHECKING:
    from trio_dask.worker.hosting import HostedRunner

_ROOT: Final = Path("/sys/fs/cgroup")
_PROC: Final = Path("/proc")


class Coroner:
    """Who looks into deaths in this process: runners that share a control group share a counter."""

    def __init__(self, hostname: str, root: Path = _ROOT, proc: Path = _PROC) -> None:
        self.hostname: Final = hostname
        self._root: Final = root
        self._proc: Final = proc
        self._ledgers: Final[dict[Path, OomLedger]] = {}

    def open(self, hosted: HostedRunner) -> Case:
        """A runner has been started."""
        path = self._counter_of(hosted.pid)
        if path is not None and path not in self._ledgers:
            self._ledgers[path] = OomLedger(oom_kills(_read(path)) or 0)
        return Case(self, hosted, path)

    def _counter_of(self, pid: int) -> Path | None:
        """The file that counts kills for want of memory where the process is.

        In a container the path that a process sees may be one of the host's.
        """
        unified, memory = control_groups(_read(self._proc / str(pid) / "cgroup"))
        places: list[Path] = []
        if memory is not None:
            inner = self._root / "memory"
            places += [
                inner / memory.lstrip("/") / "memory.oom_control",
                inner / "memory.oom_control",
            ]
        if unified is not None:
            places += [
                self._root / unified.lstrip("/") / "memory.events",
                self._root / "memory.events",
            ]
        places.append(self._proc / "vmstat")
        return next((each for each in places if oom_kills(_read(each)) is not None), None)

    def look(self, path: Path | None, now: float) -> None:
        """What the counter shows now is not about a death to come."""
        count = None if path is None else oom_kills(_read(path))
        if path is not None and count is not None:
            self._ledgers[path].look(count, now)

    def starved(self, path: Path | None, now: float) -> bool:
        """A runner was killed just now: whether for want of memory, as far as is known."""
        count = None if path is None else oom_kills(_read(path))
        if path is None or count is None:
            return False
        return self._ledgers[path].explain(count, now)


class Case:
    """What is known of one runner, from its start to its end."""

    def __init__(self, coroner: Coroner, hosted: HostedRunner, counter: Path | None) -> None:
        self._coroner: Final = coroner
        self._hosted: Final = hosted
        self._counter: Final = counter
        self._began: Final = time.monotonic()
        self._memory: Final = MemorySamples()

    @property
    def rss(self) -> int | None:
        """Its resident memory when it was last looked at."""
        return self._memory.last

    @property
    def lasted_s(self) -> float:
        """How long it has lived."""
        return time.monotonic() - self._began

    def look(self) -> dict[str, Any]:
        """Take a sample of what it uses; nothing if it is not there."""
        now = time.monotonic()
        self._coroner.look(self._counter, now)
        try:
            process = psutil.Process(self._hosted.pid)
            with process.oneshot():
                rss = process.memory_info().rss
                times = process.cpu_times()
        except psutil.Error:
            return {}
        if rss:  # what has ended, and has not been noticed, has none
            self._memory.add(now, rss)
        return {"pid": self._hosted.pid, "rss": rss, "cpu_s": times.user + times.system}

    def close(
        self,
        status: int | None,
        board: list[tuple[int, float]],
        *,
        reason: str,
        on_purpose: bool,
        starved: bool = False,
    ) -> dict[str, Any]:
        """It has ended: all that is known of that. The board says what it was doing, and since when.

        With `starved` it is we who have ended it, as it had too much memory.
        """
        now = time.monotonic()
        output = self._hosted.output
        killed = status == -9 and not reason
        return certificate(
            status,
            pid=self._hosted.pid,
            host=self._coroner.hostname,
            lasted_s=now - self._began,
            rss=self._memory.last,
            peak_rss=self._hosted.peak_rss,
            memory=self._memory.before(now),
            oom=starved or (killed and self._coroner.starved(self._counter, now)),
            reason=reason,
            on_purpose=on_purpose,
            running=[(attempt, now - began) for attempt, began in board],
            output=output.last_lines() if output is not None else [],
        )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
