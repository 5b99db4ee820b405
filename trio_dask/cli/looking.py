"""Waiting for the file in which a scheduler says where it is."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.config import SchedulerFile, read_scheduler_file
from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from pathlib import Path

_LOOK_AGAIN_S: Final = 0.5


async def wait_for_scheduler_file(
    path: Path, timeout_s: float | None, logger: logging.Logger
) -> SchedulerFile:
    """What is in a scheduler file, which may be there only in a while.

    Raises:
        SchedulerUnreachable: it was not there in time.
    """
    with trio.move_on_after(math.inf if timeout_s is None else timeout_s):
        told = False
        while True:
            try:
                return read_scheduler_file(path)
            except FileNotFoundError:
                if not told:
                    logger.info("Waiting for scheduler file:   %s", path)
                told = True
                await trio.sleep(_LOOK_AGAIN_S)
    msg = (
        f"no scheduler has written {path} in {timeout_s:g} s: it has to be in a directory that "
        "this host shares with the scheduler's"
    )
    raise SchedulerUnreachable(msg)
