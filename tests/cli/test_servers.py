"""The two servers as a user meets them: processes, lines on stderr, signals, exit codes."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import psutil
import pytest
import trio

from trio_dask.config import ensure_token, new_token, read_scheduler_file
from trio_dask.deploy.children import Child

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.network]

LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - trio_dask\.\w+ - [A-Z]+ - .+")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@asynccontextmanager
async def command(*words: str, **environ: str) -> AsyncIterator[Child]:
    """A command as a process, its stderr read; killed if the test leaves it running."""
    process = await trio.lowlevel.open_process(
        [sys.executable, "-m", "trio_dask", *words],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=os.environ | environ,
    )
    child = Child(words[0], process)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(child.listen, None)
        try:
            yield child
        finally:
            if process.returncode is None:
                process.kill()
            with trio.CancelScope(shield=True):
                await process.wait()
            nursery.cancel_scope.cancel()
    assert process.stderr is not None
    await process.stderr.aclose()


async def ended(child: Child) -> int:
    """The exit code, after everything it said has been read."""
    code = await child.process.wait()
    await child.silent.wait()
    return code


def only_log_lines(child: Child) -> bool:
    """Whether stderr has nothing else."""
    return all(LOG_LINE.fullmatch(line) for line in child.tail)


@pytest.mark.parametrize("number", SIGNALS)
async def test_scheduler_runs_until_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    """Its files are there while it runs and gone afterwards; the exit code is 0."""
    cluster, pid = tmp_path / "cluster.json", tmp_path / "pid"
    words = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(cluster)]
    async with command("scheduler", *words, "--pid-file", str(pid)) as scheduler:
        [address] = await scheduler.wait_for("Scheduler at:")
        assert re.fullmatch(r"tcp://127\.0\.0\.1:\d+", address)
        assert read_scheduler_file(cluster).address == address
        assert stat.S_IMODE(cluster.stat().st_mode) == 0o600
        assert int(pid.read_text()) == scheduler.process.pid
        scheduler.process.send_signal(number)
        assert await ended(scheduler) == 0
        assert only_log_lines(scheduler)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("number", SIGNALS)
async def test_worker_runs_until_a_signal(number: signal.Signals) -> None:
    """It says where it is and whom it serves, and takes its runners along."""
    async with command("scheduler", "--host", "127.0.0.1", "--port", "0") as scheduler:
        [address] = await scheduler.wait_for("Scheduler at:")
        words = [address, "--nworkers", "2", "--nthreads", "1", "--name", "w"]
        async with command("worker", *words) as worker:
            places = await worker.wait_for("Start worker at:", 2)
            assert len(set(places)) == 2
            said = await worker.wait_for("Registered to:", 2)
            assert sorted(said) == [f"{address} as w-0", f"{address} as w-1"]
            runners = psutil.Process(worker.process.pid).children(recursive=True)
            assert len(runners) == 2
            worker.process.send_signal(number)
            assert await ended(worker) == 0
            assert only_log_lines(worker)
        assert psutil.wait_procs(runners, timeout=20)[1] == []


async def test_worker_without_a_nanny() -> None:
    """Its tasks run in threads: there is no child."""
    async with command("scheduler", "--host", "127.0.0.1", "--port", "0") as scheduler:
        [address] = await scheduler.wait_for("Scheduler at:")
        async with command("worker", address, "--no-nanny", "--nthreads", "1") as worker:
            await worker.wait_for("Registered to:")
            assert psutil.Process(worker.process.pid).children() == []
            worker.process.terminate()
            assert await ended(worker) == 0


async def test_workers_leave_with_their_scheduler() -> None:
    """A scheduler that says goodbye ends its workers with exit code 0."""
    async with command("scheduler", "--host", "127.0.0.1", "--port", "0") as scheduler:
        [address] = await scheduler.wait_for("Scheduler at:")
        async with command("worker", address, "--nthreads", "1") as worker:
            await worker.wait_for("Registered to:")
            scheduler.process.terminate()
            assert await ended(scheduler) == 0
            assert await ended(worker) == 0
            assert only_log_lines(worker)


async def test_a_second_signal_leaves_at_once(tmp_path: Path) -> None:
    """Also then with exit code 0, and without the files."""
    pid = tmp_path / "pid"
    words = ["--host", "127.0.0.1", "--port", "0", "--pid-file", str(pid)]
    async with command("scheduler", *words) as scheduler:
        await scheduler.wait_for("Scheduler at:")
        scheduler.process.terminate()
        scheduler.process.send_signal(signal.SIGINT)
        assert await ended(scheduler) == 0
    assert not pid.exists()


async def test_a_port_in_use_is_one_line(tmp_path: Path) -> None:
    """Exit code 1, no traceback, and another scheduler's file is left alone."""
    cluster = tmp_path / "cluster.json"
    cluster.write_text("another's", encoding="utf-8")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = ["--host", "127.0.0.1", "--port", port, "--scheduler-file", str(cluster)]
        async with command("scheduler", *words, TRIO_DASK_TOKEN=new_token()) as scheduler:
            assert await ended(scheduler) == 1
    [line] = scheduler.tail
    assert line.startswith("trio-dask: ")
    assert port in line
    assert "in use" in line
    assert cluster.read_text(encoding="utf-8") == "another's"


async def test_workers_find_scheduler_and_token_in_a_file(tmp_path: Path) -> None:
    """A worker started first waits for the file, and needs no token of its own."""
    cluster = str(tmp_path / "cluster.json")
    async with command(
        "worker", "--scheduler-file", cluster, "--nthreads", "1",
        XDG_CONFIG_HOME=str(tmp_path / "nothing"),
    ) as worker:  # fmt: skip
        await worker.wait_for("Waiting for scheduler file:")
        words = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", cluster]
        async with command("scheduler", *words) as scheduler:
            [address] = await scheduler.wait_for("Scheduler at:")
            assert await worker.wait_for("Registered to:") == [address]


async def test_a_worker_without_a_token_says_what_to_do() -> None:
    """Exit code 1 and the command that helps."""
    async with command("worker", "tcp://127.0.0.1:9") as worker:
        assert await ended(worker) == 1
    [line] = worker.tail
    assert "trio-dask token show" in line


async def test_a_wrong_token_is_refused() -> None:
    """The worker gives up with one line, and the scheduler goes on."""
    ensure_token()
    async with command("scheduler", "--host", "127.0.0.1", "--port", "0") as scheduler:
        [address] = await scheduler.wait_for("Scheduler at:")
        async with command("worker", address, TRIO_DASK_TOKEN=new_token()) as worker:
            assert await ended(worker) == 1
        assert "token" in worker.tail[-1]
        assert not any("Traceback" in line for line in worker.tail)
        async with command("worker", address, "--nthreads", "1") as worker:
            await worker.wait_for("Registered to:")


async def test_an_unreachable_scheduler_is_waited_for_in_plain_sight() -> None:
    """Each try is a line; after the death timeout the exit code is 1."""
    ensure_token()
    async with command("worker", "tcp://127.0.0.1:9", "--death-timeout", "1s") as worker:
        assert await ended(worker) == 1
    tries = [line for line in worker.tail if "Waiting for the scheduler:" in line]
    last = worker.tail[-1]
    assert len(tries) >= 1
    assert all("tcp://127.0.0.1:9" in line for line in tries)
    assert last.startswith("trio-dask: ")


async def test_the_token_is_nowhere_to_be_seen() -> None:
    """Neither on a command line nor in a runner's environment."""
    token = new_token()
    environ = {"TRIO_DASK_TOKEN": token}
    async with command("scheduler", "--host", "127.0.0.1", "--port", "0", **environ) as scheduler:
        [address] = await scheduler.wait_for("Scheduler at:")
        async with command("worker", address, "--nthreads", "1", **environ) as worker:
            await worker.wait_for("Registered to:")
            process = psutil.Process(worker.process.pid)
            [runner] = process.children()
            assert token not in runner.environ().values()
            assert not any(token in word for each in (process, runner) for word in each.cmdline())
        assert not any(token in line for line in [*scheduler.tail, *worker.tail])
