"""What a server's process writes on stderr: all of it is heard, also what it wrote last."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

import pytest
import trio

from trio_dask.deploy.children import open_child

pytestmark = pytest.mark.processes

#: Much is written at the end, into a pipe that has room for it, and the last of it is no whole line.
TALKS = """
import fcntl, os, sys
fcntl.fcntl(2, fcntl.F_SETPIPE_SZ, 1 << 20)
sys.stdin.buffer.raw.read(1)
text = "".join(f"{number:0100}\\n" for number in range(5000))
sys.stderr.write("begins\\n" + text + "the last words")
"""
BARS = """
import sys
for part in ["one\\n", "\\r 10%", "\\r 20", "%\\r", "\\n", "two\\r", "\\nthree\\n", "x" * 200_000]:
    sys.stderr.write(part)
    sys.stderr.flush()
"""


async def heard(program: str) -> list[str]:
    """The lines of a process that has ended."""
    lines: list[str] = []

    def on_line(line: str) -> None:
        lines.append(line)
        if line == "begins":  # from here on nobody reads, until it is over
            with suppress(ChildProcessError):  # it is, and somebody has taken note
                os.waitid(os.P_PID, child.process.pid, os.WEXITED | os.WNOWAIT)

    command = [sys.executable, "-c", program]
    async with open_child("scheduler", [], environ=None, on_line=on_line, command=command) as child:
        pass
    return lines


def test_what_it_writes_at_its_end() -> None:
    """The process is over before most of it has been read."""
    lines = trio.run(heard, TALKS)
    assert lines == ["begins", *(f"{number:0100}" for number in range(5000)), "the last words"]


def test_lines_that_are_drawn_over() -> None:
    """They come one by one, with what says so; what has no end is parted."""
    lines = trio.run(heard, BARS)
    assert lines[:6] == ["one", "\r", " 10%\r", " 20%", "two", "three"]
    assert len(lines[6]) >= 1 << 16
    assert "".join(lines[6:]) == "x" * 200_000
    assert len(lines) > 7
