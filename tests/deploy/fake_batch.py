"""A batch system of one host, as its commands: ``python fake_batch.py <directory> <command> …``.

Jobs are processes. It speaks like the system whose commands it is called by.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

SAID = {"sbatch": "{}\n", "qsub": "{}.server\n", "bsub": "Job <{}> is submitted to queue <q>.\n"}


def submit(directory: Path, command: str) -> None:
    """Take a script from standard input, and start it."""
    if (directory / "full").exists():
        sys.exit("the queue is full")
    number = 1
    while (directory / f"{number}.job").exists():  # one after the other
        number += 1
    script = directory / f"{number}.job"
    script.write_text(sys.stdin.read())
    if (directory / "held").exists():
        (directory / f"{number}.pid").write_text("held")
    else:
        with (directory / f"{number}.log").open("w") as log:
            process = subprocess.Popen(
                ["sh", str(script)], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, cwd=directory,
            )  # fmt: skip
        (directory / f"{number}.pid").write_text(str(process.pid))
    sys.stdout.write(SAID[command].format(number))


def jobs(directory: Path) -> dict[str, str]:
    """The jobs that there are: numbers, and their processes."""
    found = {path.stem: path.read_text() for path in sorted(directory.glob("*.pid"))}
    return {number: pid for number, pid in found.items() if pid == "held" or alive(pid)}


def alive(pid: str) -> bool:
    """Whether a process has not ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def cancel(directory: Path, numbers: list[str]) -> None:
    """End jobs."""
    for number in numbers:
        path = directory / f"{number}.pid"
        pid = path.read_text() if path.exists() else "held"
        if pid not in {"held", "0"}:
            with suppress(OSError):
                os.kill(int(pid), signal.SIGTERM)
        path.write_text("0")


def main(words: list[str]) -> None:
    """Do what the command does."""
    directory, command = Path(words[0]), words[1]
    with (directory / "calls").open("a") as calls:
        calls.write(f"{' '.join(words[1:])}\n")
    if command in SAID:
        submit(directory, command)
    elif command in {"scancel", "qdel", "bkill"}:
        cancel(directory, words[2:])
    else:
        sys.stdout.write("job-ID  state\n-------------\n" if command == "qstat" else "")
        sys.stdout.write("".join(f"{number} R\n" for number in jobs(directory)))


if __name__ == "__main__":
    main(sys.argv[1:])
