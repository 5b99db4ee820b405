"""The lives of a cluster, each from start to end, at rest or at work when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench.servers import ROOT, user_environ
from bench.soak.leftovers import MARK, loud
from trio_dask import Client, LocalCluster, fire_and_forget
from trio_dask.config import Config, new_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

#: So long the workers' tasks may go on when a signal has come.
GRACE_S: Final = 0.5
_STUCK_S: Final = 60.0
_TASKS: Final = 20

#: What a cycle of a kind gives: the seconds that its end took, and what was wrong.
Life = tuple[float, list[str]]


def commands_at_rest(word: str) -> Life:
    """A scheduler and two workers from the command line, ended by signals when all is done."""
    return _commands(word, busy=False)


def commands_at_work(word: str) -> Life:
    """The same, while tasks run that would take a minute."""
    return _commands(word, busy=True)


def local_at_rest(word: str) -> Life:
    """A `LocalCluster`, closed when all is done."""
    return _local(word, busy=False)


def local_at_work(word: str) -> Life:
    """The same, while tasks run that would take a minute."""
    return _local(word, busy=True)


#: Kinds of cycles, and how long the end of each may take.
KINDS: Final[dict[Callable[[str], Life], float]] = {
    commands_at_rest: 1.0,
    commands_at_work: GRACE_S + 1.0,
    local_at_rest: 1.0,
    local_at_work: 1.0,
}


def _commands(word: str, *, busy: bool) -> Life:
    token = new_token()
    environ = user_environ() | {
        MARK: word,
        "TRIO_DASK_TOKEN": token,
        "TRIO_DASK_WORKER__DRAIN_GRACE": f"{GRACE_S}s",
        "TRIO_DASK_WORKER__DRAIN_MOVE": f"{GRACE_S}s",
    }
    with tempfile.TemporaryFile() as one, tempfile.TemporaryFile() as two:
        scheduler = _start(["scheduler", "--port", "0", "--dashboard-address", ":0"], environ, one)
        try:
            address = _said(one, scheduler, "Scheduler at:", 1)
            workers = _start(
                ["worker", address, "--nworkers", "2", "--nthreads", "1"], environ, two
            )
            try:
                _said(two, workers, "Registered to:", 2)
                with Client(address, config=Config(token=token)) as client:
                    wrong = _use(client)
                    if busy:
                        _work_on(client)
                    began = time.monotonic()
                    workers.send_signal(signal.SIGTERM)
                    codes = [workers.wait(_STUCK_S)]
                    scheduler.send_signal(signal.SIGTERM)
                    codes.append(scheduler.wait(_STUCK_S))
                    took = time.monotonic() - began
            finally:
                _kill(workers)
        finally:
            _kill(scheduler)
        wrong += [f"exit code {code}" for code in codes if code]
        for output in (one, two):
            wrong += loud(_read(output))
    return took, wrong


def _local(word: str, *, busy: bool) -> Life:
    with LocalCluster(2, 1) as cluster, Client(cluster) as client:
        wrong = _use(client)
        if busy:
            _work_on(client)
        began = time.monotonic()
        cluster.close()
        took = time.monotonic() - began
    return took, wrong


def _use(client: Client) -> list[str]:
    numbers = client.gather(client.map(_double, range(_TASKS)))
    return [] if numbers == [2 * each for each in range(_TASKS)] else [f"wrong: {numbers}"]


def _double(number: int) -> int:
    return 2 * number


def _work_on(client: Client) -> None:
    """More than there is room for, until some of it runs."""
    with tempfile.NamedTemporaryFile() as sign:
        fire_and_forget(client.map(_work, [sign.name] * 4, pure=False))
        deadline = time.monotonic() + _STUCK_S
        while not Path(sign.name).stat().st_size and time.monotonic() < deadline:
            time.sleep(0.01)


def _work(sign: str) -> None:
    # Not made anew: whoever comes late must not leave a file.
    with suppress(FileNotFoundError), Path(sign).open("r+", encoding="utf-8") as file:
        file.write("running")
    time.sleep(_STUCK_S)


def _start(words: list[str], environ: dict[str, str], said: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "trio_dask", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=said,
        env=environ,
        cwd=ROOT,
    )


def _said(output: IO[bytes], process: subprocess.Popen[bytes], label: str, count: int) -> str:
    """What follows the label where it is said for the `count`-th time."""
    deadline = time.monotonic() + _STUCK_S
    while time.monotonic() < deadline and process.poll() is None:
        found = [line for line in _read(output).splitlines(keepends=True) if label in line]
        if len(found) >= count and found[-1].endswith("\n"):
            return found[0].partition(label)[2].strip()
        time.sleep(0.01)
    msg = f"{process.args!r} does not say {label!r}"
    raise RuntimeError(msg)


def _read(output: IO[bytes]) -> str:
    """All of it; where the process goes on writing is left as it is."""
    return os.pread(output.fileno(), 1 << 20, 0).decode(errors="replace")


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
        process.wait()
