"""A cluster's servers in processes of their own: a scheduler, and one that hosts the workers."""

from __future__ import annotations

import logging
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.config import errors_are_ours, ports_text
from trio_dask.deploy.children import Child, open_child
from trio_dask.deploy.dasks import dasks_settings
from trio_dask.errors import SchedulerUnreachable
from trio_dask.messages.speech import OUTPUTS
from trio_dask.messages.tie import (
    DASHBOARD,
    JOINED,
    LEFT,
    LISTENING,
    SHUT,
    read_news,
    scale_order,
    scheduler_order,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from trio_dask.deploy.handle import ClusterHandle
    from trio_dask.deploy.plan import LocalPlan

#: The wait before a worker process is started again: none at first, then doubled.
RESTART_S: Final = 1.0
RESTART_MAX_S: Final = 30.0
#: How long after the workers' end the scheduler's may be noticed.
SETTLE_S: Final = 0.2
#: So many starts in a row without a single worker are enough.
FRUITLESS_MAX: Final = 5

_ADDRESS: Final = "TRIO_DASK_SCHEDULER_ADDRESS"

logger: Final = logging.getLogger("trio_dask.deploy")


class Outside:
    """Starts the servers of one cluster, and the worker process again when it dies."""

    def __init__(
        self, plan: LocalPlan, handle: ClusterHandle, on_line: Callable[[str], None] | None
    ) -> None:
        self._plan: Final = plan
        self._handle: Final = handle
        self._on_line: Final = on_line
        self._workers: Child | None = None
        self._tls: dict[str, str] = {}
        self._dask: Final = dasks_settings()

    async def run(self) -> None:
        """Until cancelled. What goes wrong is the cluster's failure."""
        try:
            with self._certificates():
                await self._run()
        except SchedulerUnreachable as error:
            self._handle.fail(str(error))

    async def _run(self) -> None:
        host, port = self._plan.config.scheduler.host, self._plan.config.scheduler.port
        arguments = [
            "--host",
            host,
            "--port",
            ports_text(port),
            "--log-level",
            self._plan.log_level,
        ]
        if self._plan.config.scheduler.dashboard:
            arguments += ["--dashboard-address", self._plan.config.scheduler.dashboard_address]
        else:
            arguments.append("--no-dashboard")
        if self._plan.scheduler_file is not None:
            arguments += ["--scheduler-file", str(self._plan.scheduler_file)]
        async with open_child(
            "scheduler", arguments, environ=self._environ(),
            on_line=self._on_line, on_news=self._on_news,
        ) as scheduler:  # fmt: skip
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._keep_workers)
                ended = await scheduler.wait_ended()
                if not self._handle.scheduler_address:
                    ended = await scheduler.not_started()
                nursery.cancel_scope.cancel("there is no scheduler any more")
            raise SchedulerUnreachable(ended)

    def _on_news(self, line: str) -> None:
        word, address, name = read_news(line)
        if word == DASHBOARD:
            self._handle.dashboard_link = address
        elif word == LISTENING:
            self._handle.scheduler_found(address)
            self._tell_scheduler()
        elif word == SHUT:
            self._handle.shut_down()
        elif word in {JOINED, LEFT}:
            self._handle.worker_changed(name, address or None)

    def _environ(self) -> Mapping[str, str]:
        given = os.environ.items()
        environ = {name: value for name, value in given if name != _ADDRESS}
        return environ | {
            "TRIO_DASK_TOKEN": self._handle.token, **self._plan.environ, **self._tls
        }  # fmt: skip

    @contextmanager
    def _certificates(self) -> Iterator[None]:
        """Have the certificates in files, for the servers: only their owner can read them."""
        security = self._plan.security
        if security is None:
            yield
            return
        with tempfile.TemporaryDirectory(prefix="trio-dask-") as directory:
            there = security.written_to(Path(directory))
            files = {"CA_FILE": there.tls_ca_file, "CERT": there.tls_cert, "KEY": there.tls_key}
            self._tls = {
                f"TRIO_DASK_COMM__TLS__{name}": str(path) for name, path in files.items() if path
            } | {"TRIO_DASK_SCHEDULER__PROTOCOL": "tls"}
            yield

    # ------------------------------------------------------------ workers

    def _tell_scheduler(self) -> None:
        """Workers start beside the scheduler, and are told where it is when that is known."""
        if self._workers is not None and self._handle.scheduler_address:
            self._workers.order(scheduler_order(self._handle.scheduler_address))

    async def _keep_workers(self) -> None:
        """Have a worker process whenever there shall be workers, and another when it dies."""
        fruitless = 0
        while True:
            await self._handle.some_wanted()
            try:
                ended, any_joined = await self._run_workers()
            except SchedulerUnreachable as error:
                ended, any_joined = str(error), False
            self._handle.workers_lost()
            # With the scheduler the workers end as well, and then it is over.
            await trio.sleep(SETTLE_S)
            if self._handle.shut:
                return
            fruitless = 0 if any_joined else fruitless + 1
            if fruitless > (FRUITLESS_MAX if self._handle.started else 0):
                self._handle.fail(ended)
                return
            delay = min(RESTART_S * 2 ** (fruitless - 1), RESTART_MAX_S) if fruitless else 0.0
            logger.warning("%s; starting another%s", ended, f" in {delay:g} s" if delay else "")
            await trio.sleep(delay)

    async def _run_workers(self) -> tuple[str, bool]:
        """The life of one worker process: how it ended, and whether it was of any use."""
        handle = self._handle
        joined = False

        def on_news(line: str) -> None:
            nonlocal joined
            joined = joined or line.startswith(JOINED)
            self._on_news(line)

        worker = self._plan.config.worker
        options = {
            "--nworkers": str(handle.wanted),
            "--nthreads": str(worker.nthreads),
            "--memory-limit": str(worker.memory_limit),
            "--host": worker.host,
            "--name": self._plan.name,
            "--log-level": self._plan.log_level,
        }
        words = [word for option in options.items() for word in option]
        async with open_child(
            "worker", words,
            environ={
                **self._environ(), **self._dask, **self._plan.worker_environ, _ADDRESS: "",
                OUTPUTS: "" if self._on_line is None else errors_are_ours(),
            },
            on_line=self._on_line, on_news=on_news,
        ) as child:  # fmt: skip
            self._workers = child
            self._tell_scheduler()
            handle.obey(lambda count: child.order(scale_order(count)))
            try:
                ended = await child.wait_ended()
            finally:
                handle.obey(None)
                self._workers = None
            if not joined:
                ended = await child.not_started()
            return ended, joined
