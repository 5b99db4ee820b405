"""Real clusters: commands in processes, as a user starts them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager
from functools import partial
from queue import Queue
from resource import RLIMIT_NOFILE, setrlimit
from typing import TYPE_CHECKING

import psutil
import pytest

from trio_dask.config import Config, new_token

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Nothing here takes longer unless it is stuck.
PATIENCE_S = 30.0


class Command:
    """A running ``trio-dask …``, and the lines it writes on stderr."""

    def __init__(
        self, *arguments: str, token: str, descriptors: int = 0, wrapper: Sequence[str] = ()
    ) -> None:
        """`descriptors`: it may have no more of them; `wrapper`: the command that runs it."""
        limit = partial(setrlimit, RLIMIT_NOFILE, (descriptors, descriptors))
        self.process = subprocess.Popen(
            [*wrapper, sys.executable, "-m", "trio_dask", *arguments],
            env={**os.environ, "TRIO_DASK_TOKEN": token},
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=limit if descriptors else None,  # noqa: PLW1509 - it only calls the system
        )
        self.lines: list[str] = []
        self._read_all = False
        self._queue: Queue[str | None] = Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._queue.put(line.rstrip())
        self._queue.put(None)

    def wait_for(self, text: str) -> str:
        """What follows `text` in the next line that has it."""
        while True:
            line = self._queue.get(timeout=PATIENCE_S)
            assert line is not None, "\n".join(self.lines)
            self.lines.append(line)
            if text in line:
                return line.partition(text)[2].strip()

    def end(self, signum: int = signal.SIGTERM) -> int:
        """Send a signal; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signum)
        return self.wait()

    def wait(self) -> int:
        """The exit code, once there is one."""
        code = self.process.wait(PATIENCE_S)
        self._reader.join(PATIENCE_S)
        assert self.process.stderr is not None
        self.process.stderr.close()
        while not self._read_all:
            line = self._queue.get(timeout=PATIENCE_S)
            if line is None:
                self._read_all = True
            else:
                self.lines.append(line)
        return code

    def children(self) -> list[psutil.Process]:
        """The processes it has started: runners."""
        children: list[psutil.Process] = psutil.Process(self.process.pid).children(recursive=True)
        return children


class Cluster:
    """A scheduler and as many worker commands as the test starts."""

    def __init__(self, stack: ExitStack) -> None:
        self.token = new_token()
        self._stack = stack
        # Any free port for the dashboard: the usual one may be somebody else's just now.
        self.scheduler = self.command(
            "scheduler", "--host", "127.0.0.1", "--port", "0", "--dashboard-address", ":0"
        )
        self.address = self.scheduler.wait_for("Scheduler at:")

    def command(
        self, *arguments: str, descriptors: int = 0, wrapper: Sequence[str] = ()
    ) -> Command:
        """Start a command of this cluster; with a limit of descriptors, unless that is 0."""
        command = Command(*arguments, token=self.token, descriptors=descriptors, wrapper=wrapper)
        self._stack.callback(command.end, signal.SIGKILL)
        return command

    def workers(
        self, count: int = 2, *options: str, descriptors: int = 0, wrapper: Sequence[str] = ()
    ) -> Command:
        """Start a worker process, and wait until all its workers are registered."""
        own = ("worker", self.address, "--nworkers", str(count))
        command = self.command(*own, *options, descriptors=descriptors, wrapper=wrapper)
        for _ in range(count):
            command.wait_for("Registered to:")
        return command

    @property
    def config(self) -> Config:
        """Settings for its clients."""
        return Config(token=self.token)


@contextmanager
def open_cluster() -> Iterator[Cluster]:
    """A scheduler; whatever is started of it is killed at the end, if it is still there."""
    with ExitStack() as stack:
        yield Cluster(stack)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A scheduler of the test's own."""
    with open_cluster() as opened:
        yield opened


@pytest.fixture(scope="module")
def shared() -> Iterator[Cluster]:
    """A cluster of two workers for the tests of a module that harm nothing."""
    with open_cluster() as opened:
        opened.workers(2, "--nthreads", "1")
        yield opened
