"""Nannies with a runner of their own; their worker has no scheduler yet."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, cast

import pytest
import trio

from tests.worker.fake_scheduler import FAKE_RUNNER, KEYS
from trio_dask.worker import ProcessHost
from trio_dask.worker.core import Store, WorkerCore
from trio_dask.worker.coroner import Coroner
from trio_dask.worker.nanny import Nannies
from trio_dask.worker.worker import Worker

if TYPE_CHECKING:
    from trio_dask.comm import Connection
    from trio_dask.messages import Message
    from trio_dask.worker.hosting import HostedRunner

pytestmark = pytest.mark.processes


class Nobody:
    """In the place of the scheduler."""

    def send(self, message: Message) -> None:
        """Let it go."""


async def test_who_was_told_to_stop_is_not_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """A runner may be quicker than the end of its worker: that is no death, and no warning."""
    caplog.set_level(logging.INFO)
    host = ProcessHost(FAKE_RUNNER)
    started: list[HostedRunner] = []

    def start(nthreads: int) -> HostedRunner:
        started.append(host(nthreads))
        return started[-1]

    core = WorkerCore("w", "tcp://127.0.0.1:1", 1, Store())
    worker = Worker(core, cast("Connection", Nobody()), KEYS, {})
    nannies = Nannies(worker, start, Coroner("here"), {"nthreads": 1})
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nannies.run)
            await nannies.any_ready.wait()
            nannies.stop()
            started[0].kill()
    assert len(started) == 1
    assert not caplog.records
