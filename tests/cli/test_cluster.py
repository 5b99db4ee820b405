"""Scheduler and workers in one command."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.cli.commands import in_pipes, on_terminal
from trio_dask import Client
from trio_dask.config import find_token, read_scheduler_file, token_path

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.processes, pytest.mark.network]

LAST = "It ends with Ctrl-C."
SMALL = ["--port", "0", "--nworkers", "2", "--nthreads", "1"]


def address_in(said: str) -> str:
    """Where the scheduler is."""
    found = re.search(r"^Scheduler at:   (tcp://127\.0\.0\.1:\d+)$", said, re.MULTILINE)
    assert found is not None
    return found[1]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_clients_of_the_same_user_just_connect(number: signal.Signals, tmp_path: Path) -> None:
    """It says where; its files are there while it runs; a signal ends all of it, with exit code 0."""
    file, pid = tmp_path / "cluster.json", tmp_path / "pid"
    files = ["--scheduler-file", str(file), "--pid-file", str(pid)]
    with in_pipes("cluster", *SMALL, *files, "--memory-limit", "1GiB") as command:
        said = command.read_until(LAST)
        assert f"Made a new token:   {token_path()}\n" in said
        assert "\nWorkers:        2, each with 1 thread and 1.00 GiB\n" in said
        address = address_in(said)
        assert f'Client("{address}")' in said
        with Client(address) as client:
            assert client.submit(sum, [1, 2, 3]).result() == 6
        assert read_scheduler_file(file).token == find_token()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert int(pid.read_text()) == command.process.pid
        family = psutil.Process(command.process.pid).children(recursive=True)
        assert len(family) == 4
        command.process.send_signal(number)
        assert command.wait() == 0
    assert psutil.wait_procs(family, timeout=20)[1] == []
    assert os.listdir(tmp_path) == []
    assert command.said.decode().endswith(f"{LAST}\n")


def test_options_reach_the_workers(tmp_path: Path) -> None:
    """Names, resources, where to write and to listen, and how much of the log is shown."""
    host = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
    words = ["--port", "0", "--nworkers", "1", "--nthreads", "3", "--name", "w"]
    words += ["--resources", "GPU=2", "--local-directory", str(tmp_path), "--log-level", "info"]
    words += ["--host", host, "--no-dashboard"]
    with in_pipes("cluster", *words) as command:
        said = command.read_until(LAST)
        assert "trio_dask.worker - INFO - Registered to:" in said
        assert "Dashboard at:" not in said
        found = re.search(rf"^Scheduler at:   (tcp://{host}:\d+)$", said, re.MULTILINE)
        assert found is not None
        with Client(found[1]) as client:
            [worker] = client.scheduler_info()["workers"].values()
        assert str(worker["name"]).startswith("w")
        assert (worker["nthreads"], worker["resources"]) == (3, {"GPU": 2.0})
        assert os.listdir(tmp_path) != []


def test_a_port_in_use_is_one_line_that_says_what_to_do() -> None:
    """It names the port and the option, and nothing has been left running."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        with in_pipes("cluster", "--port", port) as command:
            assert command.wait() == 1
    [line] = command.said.decode().splitlines()
    assert re.fullmatch(
        rf"trio-dask: the scheduler did not start \(exit code 1\): "
        rf"tcp://127\.0\.0\.1:{port}: port {port} is already in use; --port takes .*",
        line,
    )


def test_a_scheduler_that_ends_by_itself_is_the_end() -> None:
    """The command says so, and exits with 1."""
    with in_pipes("cluster", *SMALL) as command:
        command.read_until(LAST)
        children = psutil.Process(command.process.pid).children()
        [scheduler] = [each for each in children if "scheduler" in each.cmdline()]
        scheduler.kill()
        assert command.wait() == 1
    assert "trio-dask: the scheduler has ended by itself (killed by SIGKILL" in (
        command.said.decode()
    )


def test_ctrl_c_on_a_terminal() -> None:
    """The terminal's signal is for the command alone: its servers have sessions of their own."""
    with on_terminal("cluster", *SMALL) as command:
        command.read_until(LAST)
        command.type(b"\x03")
        assert command.wait() == 0
    assert "Traceback" not in command.said.decode()


def test_two_signals_at_once() -> None:
    """Whoever is in a hurry is obeyed, and meets no traceback either."""
    with in_pipes("cluster", *SMALL) as command:
        command.read_until(LAST)
        family = psutil.Process(command.process.pid).children(recursive=True)
        command.process.send_signal(signal.SIGINT)
        command.process.send_signal(signal.SIGTERM)
        assert command.wait() == 0
    assert "Traceback" not in command.said.decode()
    gone, left = psutil.wait_procs(family, timeout=20)
    assert (len(gone), left) == (4, [])
