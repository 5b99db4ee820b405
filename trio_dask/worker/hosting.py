"""Where runners live: by default in child processes, each in a session of its own."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Final, Protocol

import trio

from trio_dask.config import to_tell
from trio_dask.messages.speech import OUTPUTS
from trio_dask.worker.orphans import MARK, end_orphans, looked_after
from trio_dask.worker.output import Output

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a task must never see.
_SECRETS: Final = ("TRIO_DASK_TOKEN",)
#: What tasks' processes have unless our own environment says otherwise. With one seed `hash` of a
#: text is the same in all of them, so that tasks may part things by it; and each task is one
#: thread's work, where libraries for linear algebra would start one for each processor.
_DEFAULTS: Final = {
    "PYTHONHASHSEED": "0",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}
_SLOT: Final = struct.Struct("<qd")
_numbers: Final = itertools.count(1)
_MAXRSS_UNIT: Final = 1 if sys.platform == "darwin" else 1024


class HostedRunner(Protocol):
    """A runner that was started: the worker's end of its socket, its board, its life."""

    pid: int
    sock: socket.socket
    board_fd: int

    @property
    def peak_rss(self) -> int | None:
        """The most resident memory it has had, once it has ended, where that is known."""

    @property
    def output(self) -> Output | None:
        """What it prints; None where it prints to our own streams."""

    async def wait(self) -> int | None:
        """Its exit status once it has ended, negative for a signal; None where it has none."""

    def kill(self) -> None:
        """End it and all it started, now."""

    def close(self) -> None:
        """Give back what belongs to it, after its end."""


class RunnerHost(Protocol):
    """Starts runners. Called in Trio's thread, and must not block for long."""

    def __call__(self, nthreads: int) -> HostedRunner:
        """Start one."""


class RunnerProcess:
    """A runner in a process of its own, whose group dies with it.

    It is forked by the thread that runs the worker: the signal that ends a runner whose
    worker is gone follows the forking *thread*, so this must not be a passing one.
    """

    def __init__(self, command: list[str], nthreads: int) -> None:
        with contextlib.ExitStack() as undo:
            self.board_fd = _new_board(nthreads)
            undo.callback(os.close, self.board_fd)
            self.sock, child = socket.socketpair()
            undo.enter_context(self.sock)
            self.output = Output()
            undo.callback(self.output.close)
            self._mark: Final = f"{os.getpid()}-{next(_numbers)}"
            kept = {name: value for name, value in os.environ.items() if name not in _SECRETS}
            told = {MARK: self._mark, OUTPUTS: to_tell(os.environ.get(OUTPUTS, ""))}
            with child:
                self._process = subprocess.Popen(
                    [*command, str(child.fileno()), str(self.board_fd)],
                    stdin=subprocess.DEVNULL,
                    stdout=self.output.ends[0],
                    stderr=self.output.ends[1],
                    pass_fds=(child.fileno(), self.board_fd),
                    start_new_session=True,
                    env=_DEFAULTS | kept | told,
                )
            self.output.started()
            self._looked_after: Final = undo.enter_context(contextlib.ExitStack())
            self._looked_after.enter_context(looked_after(self._process.pid))
            undo.pop_all()
        self.pid = self._process.pid
        self.peak_rss: int | None = None
        self._orphans_ended = False
        # What the system tells of a child begins with what the parent had when it forked.
        self._our_peak: Final = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    async def wait(self) -> int | None:
        """Its exit status. What it started ends with it."""
        if self._process.returncode is None:
            if hasattr(os, "pidfd_open"):
                with _owned(os.pidfd_open(self.pid)) as fd:
                    await trio.lowlevel.wait_readable(fd)
            else:  # pragma: no cover - macOS
                await trio.to_thread.run_sync(_wait_unreaped, self.pid, abandon_on_cancel=True)
            self.kill()
            self._reap()
        if not self._orphans_ended:
            await end_orphans(self._mark)
            self._orphans_ended = True
        return self._process.wait()

    def _reap(self) -> None:
        """Take its exit status, and what it has used, which is told but once."""
        if self._process.returncode is not None:
            return  # another waiter has
        try:
            _, status, usage = os.wait4(self.pid, 0)
        except ChildProcessError:  # pragma: no cover - somebody else in this process has
            return
        finally:
            self._looked_after.close()
        self._process.returncode = os.waitstatus_to_exitcode(status)
        if usage.ru_maxrss > self._our_peak:
            self.peak_rss = usage.ru_maxrss * _MAXRSS_UNIT

    def kill(self) -> None:
        """Kill its group, whose number is its own until it has been reaped."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        """Close what is left of it."""
        self.output.close()
        self.sock.close()
        os.close(self.board_fd)


class ProcessHost:
    """Starts ``python -m trio_dask.runner``."""

    def __init__(self, command: list[str] | None = None) -> None:
        self._command = command or [sys.executable, "-P", "-m", "trio_dask.runner"]

    def __call__(self, nthreads: int) -> HostedRunner:
        """Start one."""
        return RunnerProcess(self._command, nthreads)


def _wait_unreaped(pid: int) -> None:  # pragma: no cover - macOS
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)


@contextlib.contextmanager
def _owned(fd: int) -> Iterator[int]:
    try:
        yield fd
    finally:
        os.close(fd)


def _new_board(nthreads: int) -> int:
    if hasattr(os, "memfd_create"):
        fd = os.memfd_create("trio-dask-board")
    else:  # pragma: no cover - macOS
        with tempfile.TemporaryFile() as file:
            fd = os.dup(file.fileno())
    os.ftruncate(fd, _SLOT.size * nthreads)
    return fd


def read_board(fd: int, nthreads: int) -> list[tuple[int, float]]:
    """The attempts that run, slot by slot, and when they began on the monotonic clock.

    The process that writes there runs user code: whatever it says is only looked up.
    """
    data = os.pread(fd, _SLOT.size * nthreads, 0)
    whole = data[: len(data) - len(data) % _SLOT.size]
    return [(attempt, began) for attempt, began in _SLOT.iter_unpack(whole) if attempt]
