"""A scheduler and workers started from the command line, as a user starts them.

trio_dask and dask have the same commands and say the same when they are ready.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = Path(__file__).parents[1]
_START_S: Final = 60.0
_STOP_S: Final = 15.0
_TAIL: Final = 20
_SETTLE_S: Final = 60.0
_LOOK_S: Final = 0.1
_CALM_SHARE: Final = 0.1


class Server:
    """A process that says on stderr when it is ready."""

    def __init__(self, command: list[str], environ: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=dict(environ),
            cwd=ROOT,
        )
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._tail: deque[str] = deque(maxlen=_TAIL)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self.process.stderr is not None
        with self.process.stderr as stream:
            for line in stream:
                self._said.put(line.decode(errors="replace").rstrip())
        self._said.put(None)

    def wait_for(self, label: str, count: int = 1) -> str:
        """What follows the label in the line that has it for the `count`-th time."""
        while (line := self._said.get(timeout=_START_S)) is not None:
            self._tail.append(line)
            count -= label in line
            if not count:
                return line.partition(label)[2].strip()
        said = "\n".join(self._tail)
        msg = f"{self.process.args!r} ended before it said {label!r}:\n{said}"
        raise RuntimeError(msg)

    def stop(self) -> None:
        """Ask it to leave, and see to it that it does."""
        with suppress(OSError):
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@dataclass(frozen=True, slots=True)
class Servers:
    """A running cluster of one scheduler and one command that runs two workers."""

    scheduler: Server
    workers: Server
    address: str
    #: What the process is that runs users' code, and what its parent is.
    hand: str
    parent: str

    def roles(self) -> dict[str, list[int]]:
        """The processes by what they do."""
        parent = self.workers.process.pid
        roles = {"scheduler": [self.scheduler.process.pid], self.parent: [parent]}
        hands = roles.setdefault(self.hand, [])
        for child in psutil.Process(parent).children(recursive=True):
            with suppress(psutil.Error):
                # multiprocessing keeps a process that tracks resources, too
                (roles[self.parent] if _tracks(child) else hands).append(child.pid)
        return roles


def _tracks(process: psutil.Process) -> bool:
    return any("resource_tracker" in word for word in process.cmdline())


@contextmanager
def open_servers(
    module: str,
    extra: list[str],
    environ: Mapping[str, str],
    *,
    hand: str,
    parent: str,
    of_workers: tuple[str, ...] = (),
) -> Iterator[Servers]:
    """A cluster on loopback: two workers with a thread each.

    Args:
        module: ``python -m`` this runs the commands.
        extra: options for both commands.
        environ: variables to set.
        hand: what to call the processes that run users' code.
        parent: what to call the process that starts them.
        of_workers: options for the workers alone.
    """
    environ = {**user_environ(), **environ}
    command = [sys.executable, "-m", module]
    scheduler = Server(
        [*command, "scheduler", "--host", "127.0.0.1", "--port", "0", *extra], environ
    )
    try:
        address = scheduler.wait_for("Scheduler at:")
        workers = Server(
            [
                *command, "worker", address, "--nworkers", "2", "--nthreads", "1", *extra,
                *of_workers,
            ],
            environ,
        )  # fmt: skip
        try:
            workers.wait_for("Registered to:", 2)
            yield Servers(scheduler, workers, address, hand, parent)
        finally:
            workers.stop()
    finally:
        scheduler.stop()


def user_environ() -> dict[str, str]:
    """The environment of an installed program: it finds `bench`, and its modules are compiled."""
    environ = dict(os.environ)
    environ.pop("PYTHONDONTWRITEBYTECODE", None)
    paths = [str(ROOT), *filter(None, [environ.get("PYTHONPATH")])]
    return environ | {"PYTHONPATH": os.pathsep.join(paths)}


# ------------------------------------------------------------ observed from outside


def cpu_seconds(pid: int) -> float:
    """What a process has used of the processors, finer than ticks where the system tells."""
    if sys.platform == "linux":
        with suppress(OSError):
            # the CPU clock of a process, as clock_getcpuclockid(3) makes it
            return time.clock_gettime(~pid << 3 | 2)
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def cpu_by_role(roles: Mapping[str, list[int]]) -> dict[str, float]:
    """CPU seconds so far."""
    return {role: sum(map(cpu_seconds, pids)) for role, pids in roles.items()}


def resident(pids: list[int]) -> int:
    """Bytes of memory that processes have in use, shared ones included."""
    return sum(psutil.Process(pid).memory_info().rss for pid in pids)


def settle(pids: list[int]) -> None:
    """Wait until none of these processes has much left to do, a minute at most.

    Twice in a row, and with so small a share that also on a busy machine one that has to wait for
    a processor is not taken for one that has nothing to do.
    """
    calm = 0
    deadline = time.monotonic() + _SETTLE_S
    before = {pid: cpu_seconds(pid) for pid in pids}
    while calm < 2 and time.monotonic() < deadline:
        time.sleep(_LOOK_S)
        now = {pid: cpu_seconds(pid) for pid in pids}
        busiest = max(now[pid] - before[pid] for pid in pids)
        others = [pid for pid in pids if pid != os.getpid()]  # we run, as we look
        rests = busiest < _CALM_SHARE * _LOOK_S and not any(map(_wants_to_run, others))
        calm = calm + 1 if rests else 0
        before = now


def _wants_to_run(pid: int) -> bool:
    """Whether a thread of it runs, or waits for a processor or a disk, where the system tells."""
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        with suppress(OSError):  # it has ended
            if stat.read_text().rpartition(")")[2].split()[0] in "RD":
                return True
    return False
