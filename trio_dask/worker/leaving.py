"""How a worker leaves: when its time is over, the clock of its drain, and what is said about it."""

from __future__ import annotations

import logging
import random
import time
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.config import format_bytes

if TYPE_CHECKING:
    from trio_dask.config import WorkerConfig
    from trio_dask.messages.fleet import Farewell
    from trio_dask.worker.nanny import Nannies
    from trio_dask.worker.worker import Worker

#: How often a worker that is to leave looks at the clock.
LOOK_S: Final = 0.05

logger: Final = logging.getLogger("trio_dask.worker")


async def see_off(worker: Worker, nannies: Nannies) -> None:
    """When the worker is to leave, see to it that it does; for ever."""
    await worker.draining.wait()
    began = time.monotonic()
    draining = worker.core.state.draining
    assert draining is not None
    logger.info("Draining worker %s: %s", worker.name, draining.reason)
    while not worker.departing.is_set():
        worker.core.go_on_draining(nannies.board(), time.monotonic())
        worker.perform()
        with trio.move_on_after(LOOK_S):
            await worker.departing.wait()
    said = _said(worker.farewell, draining.given_back)
    lost = worker.farewell is not None and worker.farewell.left
    logger.log(
        logging.WARNING if lost else logging.INFO,
        "Drained worker %s in %.2f s: %s", worker.name, time.monotonic() - began, said,
    )  # fmt: skip
    nannies.stop()
    worker.scheduler.close(draining.reason)


def _said(farewell: Farewell | None, given_back: int) -> str:
    tasks = f"{given_back} tasks given back"
    if farewell is None:
        return f"the scheduler did not say what became of its values; {tasks}"
    moved = f"{farewell.moved} values moved ({format_bytes(farewell.nbytes)}), {tasks}"
    if not farewell.left:
        return moved
    again = farewell.left - farewell.lost
    return f"{moved}; left behind: {again} values to be computed again, {farewell.lost} lost"


async def age(worker: Worker, settings: WorkerConfig) -> None:
    """Have the worker leave when it has lived for as long as it shall."""
    if settings.lifetime_s is None:
        return
    stagger_s = random.uniform(-settings.lifetime_stagger_s, settings.lifetime_stagger_s)
    await trio.sleep(max(0.0, settings.lifetime_s + stagger_s))
    worker.aged = True
    worker.drain("its lifetime is over", patient=True)
