"""The nanny with a runner of its own; its worker has no scheduler yet."""

from __future__ import annotations

import logging
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest
import trio

from tests.worker.fake_scheduler import FAKE_RUNNER, KEYS
from trio_dask.worker import ProcessHost
from trio_dask.worker.core import RestartRules, Store, WorkerCore
from trio_dask.worker.coroner import Coroner
from trio_dask.worker.nanny import Nanny
from trio_dask.worker.worker import Worker

if TYPE_CHECKING:
    from trio_dask.comm import Connection
    from trio_dask.worker.hosting import HostedRunner

pytestmark = pytest.mark.processes


async def test_who_was_told_to_stop_is_not_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """A runner may be quicker than the end of its worker: that is no death, and no warning."""
    caplog.set_level(logging.INFO)
    host = ProcessHost(FAKE_RUNNER)
    started: list[HostedRunner] = []

    def start(nthreads: int) -> HostedRunner:
        started.append(host(nthreads))
        return started[-1]

    core = WorkerCore("w", "tcp://127.0.0.1:1", 1, Store())
    scheduler = cast("Connection", SimpleNamespace(send=lambda _: None))
    worker = Worker(core, scheduler, KEYS, {})
    nanny = Nanny(worker, start, Coroner("here"), rules=RestartRules(), settings={"nthreads": 1})
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(nanny.run)
            await nanny.any_ready.wait()
            nanny.stop()
            started[0].kill()
    assert len(started) == 1
    assert not caplog.records
