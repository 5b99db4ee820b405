"""What tasks print is seen where the cluster was started, whole and to the last line."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.network, pytest.mark.processes]

SCRIPT = """
import os, subprocess, sys
from trio_dask import Client

def talk(who):
    for n in range(2000):
        print("task", who, "says", n, "x" * 30)
    print("warning", who, file=sys.stderr)
    os.write(1, b"\\xff\\x00 binary\\n")
    subprocess.run(["echo", f"child of {who}"], check=True)
    return who

def leave_a_child():
    if os.fork() == 0:
        os.execvp("sleep", ["sleep", "1000"])  # it has the pipes

if __name__ == "__main__":
    own = {} if "TRIO_DASK_SCHEDULER_ADDRESS" in os.environ else {"n_workers": 2, "threads_per_worker": 1}
    with Client(**own) as client:
        assert client.gather(client.map(talk, range(4))) == [0, 1, 2, 3]
        client.submit(leave_a_child).result()
        print("the program itself", flush=True)
        client.submit(print, "no end", end="").result()
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """A program with a cluster of its own."""
    path = tmp_path / "script.py"
    path.write_text(SCRIPT, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "command", [[], ["-m", "trio_dask", "run", "--nworkers", "2", "--nthreads", "1"]]
)
def test_what_tasks_print_is_seen(script: Path, command: list[str]) -> None:
    """Of two processes at once; lines do not mix. Bytes that are no text, and what does not end, too."""
    done = subprocess.run(
        [sys.executable, *command, str(script)],
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    lines = done.stdout.split(b"\n")
    for who in range(4):
        said = [line for line in lines if line.startswith(b"task %d says" % who)]
        assert said == [b"task %d says %d %s" % (who, n, b"x" * 30) for n in range(2000)]
        assert b"child of %d" % who in lines
    assert lines.count(b"\xff\x00 binary") == 4
    assert b"the program itself" in lines
    assert lines[-1] == b"no end"
    assert len(lines) == 4 * 2000 + 4 + 4 + 2


LOGS = """
import os
from trio_dask import Client

def talk(text):
    print(text)
    return text

def die(text):
    print(text)
    os._exit(5)

if __name__ == "__main__":
    with Client(n_workers=2, threads_per_worker=1) as client:
        good, bad = client.submit(talk, "hello"), client.submit(die, "farewell", retries=0)
        assert good.result() == "hello" and bad.exception() is not None
        assert [each.text for each in good.logs()] == ["hello"]
        assert [each.text for each in bad.logs()] == ["farewell"], "its process has ended"
        for lines in client.get_worker_logs().values():
            assert any(text.startswith("Registered to:") for _, text in lines)
            assert any("The runner of worker" in text for level, text in lines if level == "WARNING")
"""


def test_what_is_said_is_kept(tmp_path: Path) -> None:
    """By workers, beyond the end of the process that has said it, and what they log themselves."""
    path = tmp_path / "script.py"
    path.write_text(LOGS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, timeout=60, check=False, text=True
    )
    assert done.returncode == 0, done.stderr
    assert sorted(set(done.stdout.split())) == ["farewell", "hello"]
    assert "Registered" not in done.stderr, "it is kept, but not shown"


def test_nobody_reads_what_tasks_print(script: Path) -> None:
    """A program whose output is cut off, as by `head`, does all its work."""
    process = subprocess.Popen(
        [sys.executable, str(script)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    with process.stderr as stderr:
        said = stderr.read().decode()
    assert process.wait(60) != 0
    assert "BrokenPipeError" in said, "the program's own line, and nothing of its tasks"
    assert said.count("Traceback") == 1, said
