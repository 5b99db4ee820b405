"""The blocking client on real processes: threads, many lives, forgotten ends, notebooks."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from traceback import extract_tb
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from jupyter_client.manager import start_new_kernel

from trio_dask import Client, LocalCluster, as_completed
from trio_dask.errors import KilledWorker

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Cluster

THREADS = 10
CALLS = 1_000
LIVES = 1_000


def inc(x: int) -> int:
    """One more."""
    return x + 1


def test_ten_threads_share_a_client(shared: Cluster) -> None:
    """A thousand calls from each, with inputs from its own: every result is right."""

    def use(number: int) -> list[int]:
        begun = client.map(inc, range(number, number + 10))
        futures = [client.submit(inc, begun[row % 10]) for row in range(CALLS)]
        return [future.result() for future in futures]

    with (
        Client(shared.address, config=shared.config) as client,
        ThreadPoolExecutor(THREADS) as pool,
    ):
        for number, results in enumerate(pool.map(use, range(THREADS))):
            assert results == [number + row % 10 + 2 for row in range(CALLS)]


def test_a_thousand_lives_leave_nothing(shared: Cluster) -> None:
    """Opened, used and closed: no thread or descriptor here, no client or task there."""
    scheduler = psutil.Process(shared.scheduler.process.pid)
    with Client(shared.address, config=shared.config) as first:
        before = threading.active_count(), len(os.listdir("/proc/self/fd")), scheduler.num_fds()
        for number in range(LIVES):
            with Client(shared.address, config=shared.config) as client:
                if not number % 10:
                    assert client.submit(inc, number).result() == number + 1
        # The last one has said that it goes, on a connection of its own.
        info = first.scheduler_info()
        while (info["clients"], info["tasks"]) != (1, 0):
            info = first.scheduler_info()
        after = threading.active_count(), len(os.listdir("/proc/self/fd")), scheduler.num_fds()
    # Trio keeps a few threads for some seconds, and descriptors of the last ones are closed late.
    assert after[0] <= before[0] + 3
    assert after[1] <= before[1] + 6
    assert after[2] <= before[2] + 3


def test_errors_and_deaths_come_through(shared: Cluster) -> None:
    """As the function raised them, in groups, too; a process that dies has a name."""

    def both() -> None:
        raise ExceptionGroup("two things", [KeyError("one"), ValueError("two")])

    with Client(shared.address, config=shared.config) as client:
        with pytest.raises(ExceptionGroup, match="two things") as group:
            client.submit(both).result()
        assert group.group_contains(KeyError, match="one")
        assert "in both" in group.value.__notes__[0]
        with pytest.raises(KilledWorker):
            client.submit(os._exit, 3).result()
        squares = as_completed(client.map(pow, range(20), [2] * 20), with_results=True)
        assert sorted(value for _, value in squares) == [number**2 for number in range(20)]


def test_our_own_frames_are_shown_to_those_who_ask(shared: Cluster) -> None:
    """The runner's, before those of the function; normally there are none."""
    plain = shared.config
    for full in (False, True):
        config = replace(plain, client=replace(plain.client, full_tracebacks=full))
        with Client(shared.address, config=config) as client:
            future = client.submit(int, "one")
            error, frames = future.exception(), extract_tb(future.traceback())
            assert error is not None
            assert any("trio_dask" in note for note in error.__notes__) == full
            assert any("trio_dask" in frame.filename for frame in frames) == full


def run_script(text: str, *, environ: dict[str, str] | None = None) -> Any:
    """Run a program of its own."""
    return subprocess.run(
        [sys.executable, "-c", text],
        capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **(environ or {})},
    )  # fmt: skip


def test_a_script_that_forgets_its_cluster_ends() -> None:
    """With the cluster's processes, and without a word on stderr."""
    run = run_script(
        "from trio_dask import Client\n"
        "import psutil\n"
        "client = Client(n_workers=1, threads_per_worker=1)\n"
        "print(client.submit(pow, 2, 10).result())\n"
        "print(*[each.pid for each in psutil.Process().children(recursive=True)])\n"
    )
    assert (run.returncode, run.stderr) == (0, "")
    value, pids = run.stdout.splitlines()
    assert value == "1024"
    assert len(pids.split()) == 3
    assert not any(psutil.pid_exists(int(pid)) for pid in pids.split())


def test_a_script_that_fails_ends_its_cluster() -> None:
    """Its traceback is all there is on stderr."""
    run = run_script(
        "from trio_dask import Client\n"
        "client = Client(n_workers=1, threads_per_worker=1)\n"
        "client.submit(int, 'one').result()\n"
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert "ValueError: invalid literal for int() with base 10: 'one'" in run.stderr


def test_cells_of_a_notebook(shared: Cluster) -> None:
    """A loop runs in a kernel, and yet its cells may block; interrupting one harms nothing."""
    manager, kernel = start_new_kernel(
        kernel_name="python3", env={**os.environ, "TRIO_DASK_TOKEN": shared.token}
    )
    try:

        def cell(code: str) -> str:
            said: list[str] = []
            kernel.execute_interactive(
                code, timeout=60, output_hook=lambda message: said.append(str(message["content"]))
            )
            return "".join(said)

        assert "error" not in cell("import asyncio; asyncio.get_running_loop()")
        opened = cell(f"from trio_dask import Client; client = Client({shared.address!r})")
        assert "Traceback" not in opened, opened
        assert "1024" in cell("print(client.submit(pow, 2, 10).result())")
        assert "[1, 2, 3]" in cell("print(client.gather(client.map(lambda x: x + 1, range(3))))")
        interrupt = "import os, signal, threading\nthreading.Thread(target=os.kill, args=(os.getpid(), signal.SIGINT)).start()\n"
        assert "KeyboardInterrupt" in cell(
            interrupt + "client.submit(__import__('time').sleep, 1).result()"
        )
        assert "8" in cell("print(client.submit(pow, 2, 3).result())")
        bars = cell("import trio_dask; trio_dask.progress(client.map(abs, range(7)))")
        assert '<progress value="7" max="7"></progress>' in bars, bars
        assert "Warning" not in bars
        assert "<b>Client</b>" in cell("client")
        assert "AsyncClient" in cell("import trio\nasync def f(): client.flush()\ntrio.run(f)")
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)


def test_servers_leave_modules_of_the_current_directory_alone(tmp_path: Path) -> None:
    """One that is called like one of the library's is not run by them; tasks can import others."""
    (tmp_path / "random.py").write_text("raise SystemExit('not for servers')\n")
    (tmp_path / "beside.py").write_text("VALUE = 42\n")
    script = tmp_path / "elsewhere" / "script.py"
    script.parent.mkdir()
    script.write_text(
        "from trio_dask import Client\n"
        "def look():\n"
        "    import beside\n"
        "    return beside.VALUE\n"
        "with Client(n_workers=1, threads_per_worker=1) as client:\n"
        "    print(client.submit(look).result())\n"
    )
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (run.returncode, run.stdout, run.stderr) == (0, "42\n", "")


def test_the_address_of_a_cluster_of_ones_own_is_enough() -> None:
    """Its token is found by it, in the process that has started it."""
    with LocalCluster(n_workers=1, processes=False) as cluster:
        with Client(cluster.scheduler_address) as client:
            assert client.submit(inc, 1).result() == 2


PRINTING = """
import contextlib, io, sys, threading
from trio_dask import Client, print as say

def work(number):
    say("said", number)
    say("wrong", number, file=sys.stderr)

with Client(n_workers=1, threads_per_worker=1) as client:
    heard = threading.Event()
    client.subscribe_topic("after", lambda event: heard.set())
    for number, into in enumerate((contextlib.nullcontext(), contextlib.redirect_stdout(io.StringIO()))):
        with into as caught:
            client.submit(work, number).result()
            heard.clear()
            client.log_event("after", None)
            heard.wait()  # handlers are called in order
    print("caught", repr(caught.getvalue()))
"""


def test_what_tasks_print_is_in_the_output_of_their_script_once() -> None:
    """The worker has written it there; the client does so where that is another place."""
    done = run_script(PRINTING)
    assert sorted(done.stdout.splitlines()) == ["caught 'said 1\\n'", "said 0", "said 1"], done
    assert sorted(done.stderr.splitlines()) == ["wrong 0", "wrong 1"], done
