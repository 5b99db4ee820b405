"""Links to the workers that values are fetched from: opened when needed, closed when idle."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

import trio

from trio_dask.comm import connect
from trio_dask.errors import CommError, ConfigError
from trio_dask.messages.session import WORKER, RegisterPeer, Welcome
from trio_dask.messages.values import Values
from trio_dask.worker.core import Stalls

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from trio_dask.comm import Connection, Keys, LocalLoans
    from trio_dask.messages import Message
    from trio_dask.messages.values import Fetch
    from trio_dask.worker.worker import Worker

CONNECT_S: Final = 10.0
STALLED_S: Final = 60.0
IDLE_S: Final = 60.0

logger: Final = logging.getLogger("trio_dask.worker")


class PeerLink:
    """A connection to one worker, or one in the making, with what waits for it."""

    def __init__(self, address: str, now: float) -> None:
        self.address: Final = address
        self.waiting: list[Fetch] = []
        self.connection: Connection | None = None
        self.used = now


class Peers:
    """All links of one worker. They live in the nursery of `run`."""

    def __init__(self, worker: Worker, keys: Keys) -> None:
        self._worker: Final = worker
        self._keys: Final = keys
        self._links: dict[str, PeerLink] = {}
        #: Addresses on this host with which it has not worked out to be on one host.
        self._by_wire: Final[set[str]] = set()
        self._nursery: trio.Nursery | None = None
        self._stalls: Final = Stalls(STALLED_S)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep the links until cancelled."""
        try:
            async with trio.open_nursery() as self._nursery:
                task_status.started()
                await trio.sleep_forever()
        finally:
            self._nursery = None

    def fetch(self, address: str, question: Fetch) -> None:
        """Ask for values."""
        link = self._links.get(address)
        if link is None:
            if self._nursery is None:
                return  # the worker is ending
            link = self._links[address] = PeerLink(address, trio.current_time())
            self._nursery.start_soon(self._keep, link)
        link.used = trio.current_time()
        if link.connection is None:
            link.waiting.append(question)
        else:
            link.connection.send(question)

    def spawn(self, fn: Callable[[], Awaitable[None]]) -> None:
        """Have something done beside, until the worker ends."""
        if self._nursery is not None:
            self._nursery.start_soon(fn)

    async def _keep(self, link: PeerLink) -> None:
        loans: LocalLoans | None = None

        def on_messages(messages: list[Message]) -> None:
            for message in messages if loans is None else loans.heard(messages):
                if isinstance(message, Values):
                    self._worker.core.fetched(message)
                elif not isinstance(message, Welcome):
                    link_connection.cut(f"a worker does not answer {type(message).__name__}")
                    break
            self._worker.perform()

        why = "it left"
        try:
            link_connection = await connect(
                link.address, keys=self._keys, role=WORKER, expect=WORKER, timeout_s=CONNECT_S,
                near=link.address not in self._by_wire,
            )  # fmt: skip
            loans = self._worker.open_loans(link_connection)
            link_connection.send(RegisterPeer(self._worker.name), *link.waiting)
            link.waiting.clear()
            link.connection = link_connection
            await link_connection.run(on_messages)
        except (CommError, ConfigError) as error:
            why = str(error)
        finally:
            if loans is not None:
                loans.end()
        if self._links.get(link.address) is link:
            del self._links[link.address]
            if link.address in self._worker.core.fetching_from():
                if loans is not None:
                    self._by_wire.add(link.address)
                logger.warning("Cannot fetch from %s: %s", link.address, why)
            self._worker.core.fetch_failed(link.address)
            self._worker.perform()

    def tick(self) -> None:
        """Give up what has stopped, and close what is not used."""
        if not self._links:
            return
        now = trio.current_time()
        owing = self._worker.core.fetching_from()
        progress: dict[str, int] = {}
        for link in list(self._links.values()):
            if link.connection is None:
                continue  # its time is bounded
            if link.address in owing:
                link.used = now
                progress[link.address] = link.connection.statistics().bytes_in
            elif now - link.used > IDLE_S:
                del self._links[link.address]
                link.connection.close("not used")
        for address in self._stalls.stalled(progress, now):
            connection = self._links[address].connection
            if connection is not None:
                connection.cut(f"{address} has sent nothing for {STALLED_S:g} s")
