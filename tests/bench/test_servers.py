"""Processes are watched from outside: their processor time, their memory, when they are done."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import Final

import pytest

from bench.servers import Server, cpu_by_role, cpu_seconds, resident, settle

BUSY: Final = """
import sys, time
while time.process_time() < 0.3: pass
print('calm', flush=True)
sys.stdin.read()
"""


def test_processor_time_is_that_of_the_process() -> None:
    """It is what the process itself would say."""
    before = time.process_time()
    seen = cpu_seconds(os.getpid())
    assert before <= seen <= time.process_time()
    assert cpu_by_role({"client": [os.getpid()], "none": []})["none"] == 0
    assert resident([os.getpid()]) > 2**20


@pytest.mark.processes
def test_a_process_is_waited_for_until_it_is_done() -> None:
    """Not before it has done what it has to do."""
    with subprocess.Popen(
        [sys.executable, "-c", BUSY], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        settle([process.pid])
        assert cpu_seconds(process.pid) >= 0.3
        assert process.stdout.readline() == b"calm\n"
        process.communicate()


@pytest.mark.processes
def test_a_server_is_heard_and_ended() -> None:
    """What it says after the label; of one that ends before, its last words."""
    talks = "import signal, sys; print('It is at:  here', file=sys.stderr); signal.pause()"
    fails = "import sys; sys.exit('no such port')"
    server = Server([sys.executable, "-c", talks], os.environ)
    try:
        assert server.wait_for("It is at:") == "here"
    finally:
        server.stop()
    assert server.process.poll() is not None
    server = Server([sys.executable, "-c", fails], os.environ)
    with pytest.raises(RuntimeError, match="no such port"):
        server.wait_for("It is at:")
    server.stop()
