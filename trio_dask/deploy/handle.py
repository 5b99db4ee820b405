"""A cluster as its members see it: where it is, who is there, how many there shall be."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.deploy.sizes import checked_count
from trio_dask.errors import SchedulerUnreachable

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.deploy.adaptive import AdaptiveSettings
    from trio_dask.deploy.job_plan import JobPlan
    from trio_dask.deploy.plan import LocalPlan
    from trio_dask.deploy.ssh_plan import SSHPlan

RUNNING: Final = "running"
CLOSED: Final = "closed"

logger: Final = logging.getLogger("trio_dask.deploy")


class ClusterHandle:
    """What a client needs to use the cluster, and what becomes of it.

    It is used on the loop on which the cluster lives; what it says may be read anywhere.
    """

    def __init__(self, plan: LocalPlan | SSHPlan | JobPlan) -> None:
        #: What was asked for.
        self.plan: Final = plan
        self.name: Final = plan.name
        #: Where the scheduler is.
        self.scheduler_address = ""
        #: Where its dashboard is; empty if it has none.
        self.dashboard_link = ""
        #: What lets clients in.
        self.token: Final = plan.token
        #: The certificates that clients need; None where connections are not encrypted.
        self.security: Final = plan.security
        self._failure = ""
        self._shut = False
        self._started = False
        #: How many workers there shall be.
        self.wanted = plan.n_workers
        #: Whether the number follows the work, and how.
        self.adaptive: AdaptiveSettings | None = None
        self._workers: dict[str, str] = {}
        self._give_order: Callable[[int], None] | None = None
        self._gone: Callable[[set[str]], object] = lambda _: None
        self._changed = trio.Event()

    def __repr__(self) -> str:
        return (
            f"<ClusterHandle {self.name!r}: {self.scheduler_address}, "
            f"{len(self._workers)} workers, {self.status}>"
        )

    @property
    def status(self) -> str:
        """``running``, ``closed`` by a client, or ``failed:`` and why."""
        if self._shut:
            return CLOSED
        return f"failed: {self._failure}" if self._failure else RUNNING

    @property
    def workers(self) -> dict[str, str]:
        """The addresses of the workers, by name, the oldest first."""
        names = sorted(self._workers.copy().items(), key=lambda item: (len(item[0]), item[0]))
        return dict(names)

    # ------------------------------------------------------------ for its users

    def scale(self, n: int) -> None:
        """Have `n` workers, soon; see `wait_for_workers`.

        The youngest leave first: their tasks get a few seconds to end, and what only they
        hold moves to others.

        Raises:
            ConfigError: it is no number of workers.
        """
        self.adaptive = None
        self.order(checked_count(n))

    def adapt(self, settings: AdaptiveSettings | None) -> None:
        """From now on have as many as the work needs; None: stay as it is."""
        self.adaptive = settings
        self._change()

    async def wait_for_workers(self, n: int | None = None, timeout: float | None = None) -> None:  # noqa: ASYNC109 - Dask's name
        """Wait until there are at least `n` workers, or as many as `scale` has asked for.

        Raises:
            TimeoutError: not in so many seconds.
            SchedulerUnreachable: the cluster has failed.
        """
        with trio.move_on_after(math.inf if timeout is None else timeout) as waiting:
            await self._enough_workers(n)
        if waiting.cancelled_caught:
            wanted = self.wanted if n is None else n
            msg = f"{len(self._workers)} workers after {timeout:g} s, instead of {wanted}"
            raise TimeoutError(msg)

    async def _enough_workers(self, n: int | None) -> None:
        while len(self._workers) < n if n is not None else len(self._workers) != self.wanted:
            await self._next_change()

    async def wait_started(self, *, workers: bool = True) -> None:
        """Wait until all of it is there, with its `workers` or without.

        Raises:
            SchedulerUnreachable: it will not be; the message has a server's last words.
        """
        while not self.scheduler_address:
            await self._next_change()
        if workers:
            await self._enough_workers(None)
        self._started = True

    async def wait_broken(self) -> str:
        """Wait until the cluster has failed, and say why."""
        while not self._failure:
            await self._changed.wait()
        return self._failure

    async def wait_ended(self) -> str:
        """Wait until the cluster is of no use any more: why it has failed, or nothing if a client has ended it."""
        while not (self._failure or self._shut):
            await self._changed.wait()
        return self._failure

    async def _next_change(self) -> None:
        if self._failure or self._shut:
            raise SchedulerUnreachable(self._failure or "a client has shut the cluster down")
        await self._changed.wait()

    # ------------------------------------------------------------ for who runs it

    @property
    def started(self) -> bool:
        """Whether it has been there as a whole."""
        return self._started

    def order(self, n: int) -> None:
        """Have so many from now on."""
        self.wanted = n
        if self._give_order is not None:
            self._give_order(n)
        self._change()

    def retired(self, names: set[str], wanted: int) -> None:
        """These are about to be gone, and so many there shall be: both is known at the same moment."""
        self._gone(names)
        self.wanted = wanted

    async def next_change(self) -> None:
        """Wait until something is different."""
        await self._changed.wait()

    def scheduler_found(self, address: str) -> None:
        """The scheduler listens."""
        self.scheduler_address = address
        self._change()

    def obey(
        self,
        give_order: Callable[[int], None] | None,
        gone: Callable[[set[str]], object] = lambda _: None,
    ) -> None:
        """From now on tell this one how many workers there shall be; None: nobody can be told.

        And tell `gone` the names of those that have been let go of: not to be taken for some that
        are still there, in whose place others would have to leave.
        """
        self._give_order, self._gone = give_order, gone
        if give_order is not None:
            give_order(self.wanted)

    def worker_changed(self, name: str, address: str | None) -> None:
        """A worker has joined, at an address, or left."""
        if address is None:
            self._workers.pop(name, None)
        else:
            self._workers[name] = address
        self._change()

    def workers_lost(self) -> None:
        """All of them are gone."""
        self._workers.clear()
        self._change()

    @property
    def shut(self) -> bool:
        """Whether a client has ended it."""
        return self._shut

    def shut_down(self) -> None:
        """A client ends all of it: that its servers are about to leave is no failure."""
        self._shut = True
        self._change()

    def fail(self, why: str) -> None:
        """The cluster is of no use any more."""
        if self._shut:
            self.workers_lost()
            return
        if self._started:  # else who starts it is told
            logger.error("Cluster %s has failed: %s", self.name, why)
        self._failure = why
        self.workers_lost()

    async def some_wanted(self) -> None:
        """Wait until there shall be a worker at all."""
        while not self.wanted:
            await self._changed.wait()

    def _change(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
