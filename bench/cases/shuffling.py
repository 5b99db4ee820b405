"""Data that is larger than all memory of the workers, each part of which every result needs."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from bench.systems import LITTLE, PROCESSES

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.graphs import Calls
    from bench.turn import Turn

#: So many times what all workers may have.
_TIMES: Final = 3
_LOOK_S: Final = 0.02
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


def part(number: int, pieces: int, nbytes: int) -> Any:
    """An input, in pieces."""
    import numpy as np

    return [np.full(nbytes // pieces, number % 251, "u1") for _ in range(pieces)]


def piece(pieces: Any, which: int) -> Any:
    """One of them."""
    return pieces[which]


def joined(pieces: Any) -> Any:
    """A result, from a piece of each input."""
    import numpy as np

    return np.concatenate(pieces)


def summed(result: Any) -> int:
    """What is in it."""
    return int(result.sum(dtype="u8"))


def measure(turn: Turn) -> dict[str, float]:
    """How long it takes, and the most memory that it ever has in use, in percent of the limit.

    In use is what processes have for themselves, and memory files, each once.
    """
    count = turn.scale.parts
    nbytes = _TIMES * PROCESSES * LITTLE // count // count * count
    expected = [sum(x % 251 for x in range(count)) * (nbytes // count)] * count

    def build(calls: Calls) -> list[Any]:
        inputs = [calls.submit(part, x, count, nbytes) for x in range(count)]
        results = [
            calls.submit(joined, [calls.submit(piece, each, j) for each in inputs])
            for j in range(count)
        ]
        del inputs
        return [calls.submit(summed, each) for each in results]

    assert turn.system.open_little is not None
    with turn.system.open_little() as running:
        roles = running.roles()
        parents = [
            pid
            for role, pids in roles.items()
            if role not in ("client", "scheduler")
            for pid in pids
        ]
        watched = Peak(lambda: _families(parents))
        with watched:
            began = perf_counter()
            assert running.client.run(build) == expected, "wrong values"
            took = perf_counter() - began
    limit = PROCESSES * LITTLE
    return {
        "s": took,
        "peak % of the limit": 100 * watched.most / limit,
        "peak MiB": watched.most / 2**20,
        "limit MiB": limit / 2**20,
    }


def _families(parents: list[int]) -> list[int]:
    """All processes of the workers, also those that took the place of others."""
    import psutil

    found: dict[int, None] = {}
    for pid in parents:
        with suppress(psutil.Error):
            family = psutil.Process(pid)
            found.update(dict.fromkeys([pid, *(each.pid for each in family.children())]))
    return list(found)


class Peak:
    """Watches the memory of processes while the block lasts."""

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self.most = 0
        self._pids = pids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(_LOOK_S):
            self.most = max(self.most, in_use(self._pids()))


def in_use(pids: list[int]) -> int:
    """What these processes have for themselves, and the memory files that they have open."""
    total = 0
    files: dict[int, int] = {}
    for pid in pids:
        with suppress(OSError, ValueError):
            fields = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()
            total += (int(fields[1]) - int(fields[2])) * _PAGE
            for link in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    if "memfd:" in str(link.readlink()):
                        status = link.stat()
                        files[status.st_ino] = status.st_blocks * 512
    return total + sum(files.values())
