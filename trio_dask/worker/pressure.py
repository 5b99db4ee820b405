"""How much memory a worker uses, looked at as often as it could change anything."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil
import trio

from trio_dask.config import format_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.config import MemoryConfig
    from trio_dask.worker.nanny import Nannies
    from trio_dask.worker.worker import Worker

#: No process fills memory faster than so, bytes a second.
_FILLS: Final = 4e9
_LOOK_MAX_S: Final = 1.0
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")

logger: Final = logging.getLogger("trio_dask.worker")


def private_bytes(pid: int) -> int:
    """The memory of a process that is nobody else's; 0 if it is gone."""
    try:
        fields = Path(f"/proc/{pid}/statm").read_bytes().split()
        return (int(fields[1]) - int(fields[2])) * _PAGE
    except FileNotFoundError:
        pass
    except (OSError, ValueError, IndexError):
        return 0
    try:  # other systems, where nothing is shared
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def used(worker: Worker, nannies: Nannies) -> tuple[int, dict[int, int]]:
    """The memory that a worker uses, and how much of it is each runner's own.

    That is what its runners have for themselves, and what they have made for all to read; not
    what they read of others, nor files. A runner in this process has nothing that can be told
    apart from all else: then what is known to be in values counts.
    """
    state = worker.core.state
    shared = worker.shared_bytes + state.store.plain_bytes(worker.name)
    pids = nannies.pids()
    if os.getpid() in pids.values():
        return max(shared, state.room.managed), {}
    own = {number: private_bytes(pid) for number, pid in pids.items()}
    back = {number: nbytes + worker.idle_bytes(number) for number, nbytes in own.items()}
    return sum(own.values()) + shared, back


async def watch_memory(
    worker: Worker, nannies: Nannies, settings: MemoryConfig, on_change: Callable[[], None]
) -> None:
    """Tell the core what matters, for ever; `on_change` is called when it pauses or goes on."""
    rules = worker.core.state.room.rules
    if not rules.limit:
        return
    paused = used_up = False
    while True:
        bytes_used, own = used(worker, nannies)
        # What cannot have been reached by then need not be looked at before.
        free_s = (rules.heed_bytes - bytes_used) / _FILLS
        await trio.sleep(min(_LOOK_MAX_S, max(settings.interval_s, free_s)))
        bytes_used, own = used(worker, nannies)
        room = worker.core.state.room
        if room.used_up and not used_up:
            used_up = True
            logger.warning(
                "Worker %s has as much in files as it may, so values stay in memory: max-spill is %s",
                worker.name, format_bytes(rules.max_spill),
            )  # fmt: skip
        if not worker.core.heeds(bytes_used):
            room.used = bytes_used
            continue
        worker.rooms.rest()
        worker.core.uses(bytes_used, own, time.monotonic())
        worker.perform()
        if room.paused != paused:
            paused = room.paused
            logger.log(
                logging.WARNING if paused else logging.INFO,
                "Worker %s %s: %s of %s are in use",
                worker.name,
                "takes no new tasks" if paused else "takes tasks again",
                format_bytes(bytes_used), format_bytes(rules.limit),
            )  # fmt: skip
            on_change()
