"""The connections on which a simulated worker fetches values from others."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from trio_dask.messages import session, values
from trio_dask.testing.simulation.network import CONNECT_S
from trio_dask.worker.core import Stalls

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.testing.simulation.network import Link
    from trio_dask.testing.simulation.worker import SimWorker

#: Shorter than in production, so that transfers from hosts that stand still are given up.
STALLED_S: Final = 1.5


class Transfers:
    """A connection for each worker that values come from; none while one is being made."""

    def __init__(self, worker: SimWorker) -> None:
        self._worker = worker
        self._links: dict[str, Link | None] = {}
        self._heard: dict[str, int] = {}
        self._stalls = Stalls(STALLED_S)

    def fetch(self, address: str, question: values.Fetch) -> None:
        """Ask for values."""
        worker = self._worker
        if address not in self._links:
            name = f"{worker.address}-{address}"
            target = worker.cluster.reach(worker.name, address)
            if target is None:
                self._links[address] = None
                worker.cluster.world.after(CONNECT_S, f"{name} fails", partial(self._gone, address))
                return
            link = self._links[address] = worker.network.link(name, (worker.name, target.name))
            self._heard[address] = 0
            link.attach(0, partial(self._receive, address), lambda _: self._gone(address))
            target.accept(link, may_store=False)
            link.send(0, [session.RegisterPeer(worker.name)])
        link_now = self._links[address]
        if link_now is not None:
            link_now.send(0, [question])

    def _receive(self, address: str, messages: list[Message]) -> None:
        worker = self._worker
        self._heard[address] += 1
        for message in messages:
            if isinstance(message, values.Values):
                worker.core.fetched(message)
            else:
                assert isinstance(message, session.Welcome)
        worker.perform()

    def _gone(self, address: str) -> None:
        if self._worker.alive:
            self._links.pop(address, None)
            self._heard.pop(address, None)
            self._worker.core.fetch_failed(address)
            self._worker.perform()

    def tick(self) -> None:
        """Give up what has stopped."""
        owing = self._worker.core.fetching_from()
        progress = {each: self._heard[each] for each in owing if each in self._heard}
        for address in self._stalls.stalled(progress, self._worker.now):
            link = self._links[address]
            if link is not None:
                link.cut("stalled")

    def cut(self) -> None:
        """All of them break."""
        for link in list(self._links.values()):
            if link is not None:
                link.cut("a fault")

    def die(self) -> None:
        """The process is gone."""
        for link in self._links.values():
            if link is not None:
                link.detach(0)
                link.cut("the process died")
