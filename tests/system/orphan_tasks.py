"""Tasks that leave processes behind."""

from __future__ import annotations

import os
import subprocess


def leave_a_daemon() -> int:
    """A process in a session of its own, whose parent ends at once; its number."""
    read, write = os.pipe()
    if os.fork() == 0:
        os.setsid()
        daemon = os.fork()
        if daemon == 0:
            os.close(write)
            os.execvp("sleep", ["sleep", "1000"])
        os.write(write, b"%d" % daemon)
        os._exit(0)
    os.close(write)
    os.wait()
    with os.fdopen(read, "rb") as pipe:
        return int(pipe.read())


def leave_a_short_one() -> int:
    """The same, but it ends by itself."""
    command = "setsid sh -c 'echo $$; exec sleep 0.01' & wait $!"
    shell = subprocess.run(
        ["sh", "-c", f"({command}) &"], stdout=subprocess.PIPE, text=True, check=True
    )
    return int(shell.stdout)


def die() -> None:
    """End the process."""
    os._exit(3)
