"""A cluster of real processes that are started again when they have been killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import psutil
import trio

from bench.chaos import blows as kinds
from bench.chaos.verdict import Death
from trio_dask.config import ClientConfig, Config, new_token

if TYPE_CHECKING:
    from pathlib import Path

    from bench.chaos.blows import Blow

#: A server that was killed is started again after so long.
AGAIN_S: Final = 0.2
#: The scheduler is looked for for so long: a machine that is busy starts another late.
PATIENT_S: Final = 60.0
#: One that was told to go has so long.
GO_S: Final = 30.0


@dataclass(slots=True, eq=False)
class Server:
    """A scheduler or a worker process; `doomed` says that it is known why it ends."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path
    doomed: bool = False


@dataclass(slots=True, eq=False)
class Town:
    """All of them. What should not have happened is in `violations`."""

    directory: Path
    nworkers: int
    token: str = field(default_factory=new_token)
    port: int = 0
    servers: dict[str, Server] = field(default_factory=dict)
    deaths: list[Death] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    _stopped: set[int] = field(default_factory=set)
    _lives: int = 0

    @property
    def address(self) -> str:
        """Of the scheduler, whichever life it is in."""
        return f"tcp://127.0.0.1:{self.port}"

    @property
    def config(self) -> Config:
        """For clients."""
        return Config(token=self.token, client=ClientConfig(reconnect_s=PATIENT_S))

    # ---------------------------------------------------------------- beginning and end

    def open(self) -> None:
        """Start everybody."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self._start("scheduler")
        for number in range(self.nworkers):
            self._start(f"worker-{number}")

    def close(self) -> None:
        """End everybody; what they said that they should not have is a violation."""
        for pid in self._stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for server in self.servers.values():
            server.process.terminate()
        for server in self.servers.values():
            try:
                code = server.process.wait(GO_S)
            except subprocess.TimeoutExpired:
                server.process.kill()
                server.process.wait()
                self.violations.append(f"{server.name} did not end when it was told to")
            else:
                if code:
                    self.violations.append(f"{server.name} ended with exit code {code}")
        for log in sorted(self.directory.glob("*.log")):
            if "Traceback" in log.read_text(errors="replace"):
                self.violations.append(f"there is a traceback in {log}")

    def _start(self, name: str) -> None:
        self._lives += 1
        log = self.directory / f"{self._lives:04d}-{name}.log"
        if name == "scheduler":
            words = ["scheduler", "--host", "127.0.0.1", "--port", str(self.port)]
        else:
            words = ["worker", self.address, "--name", name, "--nthreads", "1", "--nworkers", "2"]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "trio_dask", *words],
                env={
                    **os.environ,
                    "TRIO_DASK_TOKEN": self.token,
                    # Tasks here are killed far more often than in anybody's cluster.
                    "TRIO_DASK_SCHEDULER__ALLOWED_FAILURES": "1000000",
                    "TRIO_DASK_WORKER__RECONNECT": f"{PATIENT_S}s",
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self.servers[name] = Server(name, process, log)

    # ---------------------------------------------------------------- blows

    def strike(self, blow: Blow, nursery: trio.Nursery) -> None:
        """Deal it; what it needs afterwards is done in the nursery."""
        kind = blow.kind
        if kind in (kinds.KILL_SCHEDULER, kinds.STOP_SCHEDULER):
            server = self.servers["scheduler"]
        else:
            workers = [each for name, each in sorted(self.servers.items()) if name != "scheduler"]
            server = workers[blow.target % len(workers)]
        if server.doomed:
            return
        pid = server.process.pid
        if kind in (kinds.KILL_RUNNER, kinds.STOP_RUNNER):
            runners = self._runners(pid)
            if not runners:
                return
            pid = runners[blow.target % len(runners)]
        self.counts[kind] = self.counts.get(kind, 0) + 1
        match kind:
            case kinds.KILL_RUNNER:
                self._kill(pid, kind)
            case kinds.KILL_WORKER | kinds.KILL_SCHEDULER:
                server.doomed = True
                for each in [*self._runners(pid), pid] if kind == kinds.KILL_WORKER else [pid]:
                    self.deaths.append(Death(each, time.monotonic(), kind))
                server.process.kill()
                nursery.start_soon(self._start_again, server)
            case kinds.DRAIN_WORKER:
                server.doomed = True
                # What it had begun may run again elsewhere; what had ended it hands on, from now on.
                self.deaths += [
                    Death(each, time.monotonic(), kind) for each in (pid, *self._runners(pid))
                ]
                server.process.terminate()
                nursery.start_soon(self._see_off, server)
            case _:
                nursery.start_soon(self._hold, pid, blow.lasts_s)

    def look(self) -> None:
        """Has anybody ended that had no reason to?"""
        for server in list(self.servers.values()):
            code = server.process.poll()
            if code is not None and not server.doomed:
                said = server.log.read_text(errors="replace").splitlines()
                self.violations.append(
                    f"{server.name} ended by itself with exit code {code}: {said[-1:]}"
                )
                self._start(server.name)

    def _kill(self, pid: int, why: str) -> None:
        self.deaths.append(Death(pid, time.monotonic(), why))
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    async def _start_again(self, server: Server) -> None:
        server.process.wait()  # it was killed: at once
        await trio.sleep(AGAIN_S)
        self._start(server.name)

    async def _see_off(self, server: Server) -> None:
        """A worker process has been told to go, and starts again when it has."""
        code = None
        with trio.move_on_after(GO_S):
            code = await trio.to_thread.run_sync(server.process.wait, abandon_on_cancel=True)
        early = code == -signal.SIGTERM and not server.log.stat().st_size
        if code != 0 and not early:  # no program can say goodbye before it has begun
            self.violations.append(f"{server.name} was told to go, and its exit code is {code}")
            server.process.kill()
        self._start(server.name)

    async def _hold(self, pid: int, lasts_s: float) -> None:
        with suppress(ProcessLookupError):
            self._stopped.add(pid)
            os.kill(pid, signal.SIGSTOP)
            try:
                await trio.sleep(lasts_s)
            finally:
                self._stopped.discard(pid)
                os.kill(pid, signal.SIGCONT)

    def _runners(self, pid: int) -> list[int]:
        with suppress(psutil.Error):
            children = psutil.Process(pid).children()
            return [each.pid for each in children if "trio_dask.runner" in " ".join(each.cmdline())]
        return []
