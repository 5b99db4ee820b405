"""What somebody remembers of who is in the cluster."""

from __future__ import annotations

from dataclasses import dataclass, field

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.reunion import Members
from trio_dask.messages.session import Welcome


@dataclass(slots=True, eq=False)
class Memory:
    """The cluster, the epoch of its scheduler, and its members."""

    cluster: str = ""
    epoch: int = 0
    provisional: bool = False
    version: int = 0
    workers: dict[str, None] = field(default_factory=dict)
    clients: dict[int, None] = field(default_factory=dict)

    def welcomed(self, message: Welcome) -> None:
        """A scheduler takes us in.

        Raises:
            RemoteProtocolError: it is that of another cluster, or one of an earlier epoch.
        """
        self._hear(message)

    def told(self, message: Members) -> None:
        """The scheduler says who is there.

        Raises:
            RemoteProtocolError: as above.
        """
        self.cluster = message.cluster  # a scheduler that is new may turn out to be another's
        self._hear(message)
        self.version = message.version
        if message.whole:
            self.workers, self.clients = {}, {}
        self.workers.update(dict.fromkeys(message.workers))
        self.clients.update(dict.fromkeys(message.clients))
        for address in message.gone_workers:
            self.workers.pop(address, None)
        for number in message.gone_clients:
            self.clients.pop(number, None)

    def _hear(self, message: Welcome | Members) -> None:
        cluster, epoch = message.cluster, message.epoch
        another = bool(self.cluster) and cluster != self.cluster
        if another and not self.provisional:
            msg = f"a scheduler of the cluster {cluster}, not of {self.cluster}"
            raise RemoteProtocolError(msg)
        if epoch < self.epoch:
            msg = f"a scheduler of the epoch {epoch}, after one of {self.epoch}"
            raise RemoteProtocolError(msg)
        self.cluster, self.epoch, self.provisional = cluster, epoch, message.provisional

    def said(self) -> Members:
        """As one says it who comes back."""
        workers, clients = list(self.workers), list(self.clients)
        return Members(
            self.cluster, self.epoch, self.version, whole=True, workers=workers,
            clients=clients, gone_workers=[], gone_clients=[], provisional=self.provisional,
        )  # fmt: skip
