"""What a cluster might leave behind: looked for before and after."""

from __future__ import annotations

import gc
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

import psutil

#: In the environment of everything that is started here, with a word for the cycle.
MARK: Final = "SOAK_CYCLE"
#: A line of the log, below a warning.
_CALM: Final = re.compile(r"\d{4}-\d\d-\d\d [\d:,]+ - trio_dask[\w.]* - (DEBUG|INFO) - .*")
#: Trio keeps threads that have nothing to do for ten seconds.
_IDLE: Final = "Trio thread"
#: So long a process may take from its exit status to its disappearance.
_GONE_S: Final = 1.0


def traces() -> dict[str, set[str]]:
    """Of this process, and of its directories: threads, descriptors, files, shared memory."""
    gc.collect()
    return {
        "thread": {e.name for e in threading.enumerate() if not e.name.startswith(_IDLE)},
        "descriptor": {_target(entry) for entry in Path("/proc/self/fd").iterdir()},
        "file": {path.name for path in Path(tempfile.gettempdir()).iterdir()},
        "shared memory": {path.name for path in Path("/dev/shm").iterdir()},
    }


def _target(entry: Path) -> str:
    try:
        return f"{entry.name} → {entry.readlink()}"
    except OSError:  # the one that this list was read with
        return ""


def new(before: dict[str, set[str]], after: dict[str, set[str]]) -> list[str]:
    """What there is now, and was not."""
    return [
        f"a {kind} is left: {name}"
        for kind in before
        for name in sorted(after[kind] - before[kind])
    ]


def processes(word: str) -> list[str]:
    """Living or dead, of a cycle: none may be there a moment after its end."""
    deadline = time.monotonic() + _GONE_S
    while (found := _marked(word)) and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def _marked(word: str) -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            ours = process.ppid() == os.getpid() or process.environ().get(MARK) == word
            if ours and process.pid != os.getpid():
                found.append(f"a process is left: {process.pid} {process.status()}")
        except psutil.Error:
            continue  # it is gone, or somebody else's
    return found


def loud(said: str) -> list[str]:
    """Lines that should not be on stderr."""
    return [f"said: {line}" for line in said.splitlines() if not _CALM.fullmatch(line)]
