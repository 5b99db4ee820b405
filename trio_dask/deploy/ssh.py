"""Clusters on machines that are reached by ssh: the system's own OpenSSH, with all its settings.

Each server is a remote process that is tied to this one by its standard input, over which
it is told the token first of all: neither is on a command line, and it ends when the
connection does.
"""

from __future__ import annotations

import logging
import shlex
import shutil
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.deploy.adaptive import keep_adapting, open_asker
from trio_dask.deploy.children import Child, open_child
from trio_dask.deploy.handle import ClusterHandle
from trio_dask.deploy.seats import Seats
from trio_dask.deploy.ssh_plan import ssh_words
from trio_dask.errors import CommError, ConfigError, SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from trio_dask.deploy.ssh_plan import SSHPlan

_OURS: Final = ("--tied", "--token-on-stdin")

logger: Final = logging.getLogger("trio_dask.deploy")


@asynccontextmanager
async def open_ssh_plan(
    plan: SSHPlan, on_line: Callable[[str, str], None]
) -> AsyncIterator[ClusterHandle]:
    """The cluster as planned; `on_line` gets each line that a server writes, and whose it is.

    Raises:
        ConfigError: there is no OpenSSH.
        SchedulerUnreachable: a server did not start; the message has its last words.
    """
    if shutil.which("ssh") is None:
        msg = "there is no ssh on this machine: OpenSSH's client is needed"
        raise ConfigError(msg)
    handle = ClusterHandle(plan)
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_run, plan, handle, on_line)
        try:
            with trio.move_on_after(plan.start_timeout_s) as starting:
                await handle.wait_started()
            if starting.cancelled_caught:
                msg = f"the cluster did not start within {plan.start_timeout_s:g} s"
                raise SchedulerUnreachable(msg)
            nursery.start_soon(keep_adapting, handle)
            yield handle
        except Exception as error:  # noqa: BLE001 - raised below, outside the nursery: not in a group
            failure = error
        nursery.cancel_scope.cancel("the cluster is closed")
    if failure is not None:
        raise failure


async def _run(plan: SSHPlan, handle: ClusterHandle, on_line: Callable[[str, str], None]) -> None:
    def on_schedulers_line(line: str) -> None:
        _, said, link = line.partition("dashboard at:")
        if said and not handle.dashboard_link:
            handle.dashboard_link = link.strip()
        on_line(f"scheduler {plan.scheduler}", line)

    try:
        words = ["scheduler", *plan.scheduler_words]
        async with remote(plan, 0, words, on_schedulers_line) as scheduler:
            [address] = await scheduler.wait_for("Scheduler at:")
            handle.scheduler_found(address)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(SeatKeeper(plan, handle, on_line).run)
                raise SchedulerUnreachable(await scheduler.wait_ended())
    except* SchedulerUnreachable as group:
        handle.fail(str(group.exceptions[0]))


class SeatKeeper:
    """Starts and ends worker processes on hosts, so that there are as many workers as there shall be."""

    def __init__(
        self, plan: SSHPlan, handle: ClusterHandle, on_line: Callable[[str, str], None]
    ) -> None:
        self._plan: Final = plan
        self._handle: Final = handle
        self._on_line: Final = on_line
        self._seats: Final = Seats(len(plan.hosts), together=plan.worker_size.together)
        self._scopes: Final[dict[int, trio.CancelScope]] = {}
        self._look = trio.Event()

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            SchedulerUnreachable: a process did not start while the cluster does.
        """
        self._handle.obey(self._obey, self._gone)
        try:
            async with trio.open_nursery() as nursery:
                while True:
                    starting, leaving = self._seats.look(
                        self._handle.wanted, now=trio.current_time()
                    )
                    for at in starting:
                        self._scopes[at] = trio.CancelScope()
                        nursery.start_soon(self._host, at)
                    for at in leaving:
                        nursery.start_soon(self._leave, at)
                    with trio.move_on_at(self._seats.next_at()):
                        await self._look.wait()
                    self._look = trio.Event()
        finally:
            self._handle.obey(None)

    def _obey(self, _count: int) -> None:
        self._seats.ordered()
        self._look.set()

    def _gone(self, names: set[str]) -> None:
        for at in range(len(self._plan.hosts)):
            there = self._handle.workers.keys() & set(self._names(at))
            if there and there <= names:
                self._seats.leaves(at)

    async def _host(self, at: int) -> None:
        """The life of a worker process."""
        died = False
        host = self._plan.hosts[at]
        try:
            with self._scopes[at]:
                try:
                    why, died = await self._run_worker(at)
                except SchedulerUnreachable as error:
                    if not self._handle.started:
                        raise
                    why, died = str(error), True
                self._on_line(f"worker {host}", why)
        finally:
            for name in self._names(at):
                self._handle.worker_changed(name, None)
        rest = self._seats.ended(at, now=trio.current_time(), died=died)
        if died and rest:
            self._on_line(f"worker {host}", f"another one is started in {rest:g} s")
        self._look.set()

    def _names(self, at: int) -> list[str]:
        return [
            f"{self._plan.name}-{at}-{number}" for number in range(self._plan.worker_size.together)
        ]

    async def _run_worker(self, at: int) -> tuple[str, bool]:
        """How it has ended, and whether that was its death."""
        plan, handle = self._plan, self._handle
        host = plan.hosts[at]
        words = ["worker", handle.scheduler_address, *plan.worker_words]
        if plan.tell_host:
            words += ["--host", host.rpartition("@")[2]]
        if not any(word.startswith("--name") for word in words):
            words += ["--name", f"{plan.name}-{at}"]
        on_line = partial(self._on_line, f"worker {host}")
        async with remote(plan, at + 1, words, on_line) as child:
            names = self._names(at)
            found = await child.wait_for("Start worker at:", len(names))
            await child.wait_for("Registered to:", len(names))
            self._seats.joined(at)
            for name, address in zip(names, found, strict=True):
                handle.worker_changed(name, address)
            return await child.wait_ended(), child.process.returncode != 0

    async def _leave(self, at: int) -> None:
        """Have its workers leave in good order, as far as they can, and then the process."""
        there = self._handle.workers
        addresses = [there[name] for name in self._names(at) if name in there]
        if addresses:
            try:
                async with open_asker(self._handle, "ssh") as asker:
                    await asker.ask("retire_workers", {"workers": addresses})
            except* CommError as group:  # some have gone meanwhile, or the scheduler has
                logger.warning("%s: %s", self._plan.hosts[at], group.exceptions[0])
        self._scopes[at].cancel("it is not wanted any more")


@asynccontextmanager
async def remote(
    plan: SSHPlan, at: int, words: Sequence[str], on_line: Callable[[str], None]
) -> AsyncIterator[Child]:
    """A command of ours on another machine, as long as the block lasts."""
    host = (plan.scheduler, *plan.hosts)[at]
    there = shlex.join([plan.python, "-P", "-m", "trio_dask", *words, *_OURS])
    async with open_child(
        words[0], (), environ=None, on_line=on_line,
        command=[*ssh_words(host, plan.connect[at]), f"exec {there}"], first=f"{plan.token}\n",
    ) as child:  # fmt: skip
        yield child
