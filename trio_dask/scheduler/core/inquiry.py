"""Questions about processes that are being answered: who waits for whom."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.messages.session import Answer

if TYPE_CHECKING:
    from trio_dask.scheduler.core.state import Client, ClusterState, Worker

#: The scheduler's own process, among those that are asked.
HERE: Final = "scheduler"


@dataclass(slots=True, eq=False)
class Inquiry:
    """A client that waits for what some workers say, or the scheduler's process."""

    client: Client
    serial: int
    due: float
    bytes_max: int
    lines: int | None = None  # of the scheduler's log
    said: dict[str, bytes] = field(default_factory=dict)  # by address
    refused: dict[str, bytes] = field(default_factory=dict)
    #: By the serial it was asked with; None is the scheduler's process.
    waiting: dict[int, Worker | None] = field(default_factory=dict)

    def answer(self, state: ClusterState) -> None:
        """Tell the client what is known by now."""
        for serial in self.waiting:
            state.inquiries.pop(serial, None)
            state.inquiries.here.pop(serial, None)
        if state.clients.get(self.client.number) is self.client:
            asked = self.waiting.values()
            silent = [HERE if worker is None else worker.address for worker in asked]
            data = {"said": self.said, "refused": self.refused, "silent": silent}
            self.client.out.add(Answer(self.serial, ok=True, data=data))


class Inquiries(dict[int, "tuple[Inquiry, Worker]"]):
    """What each worker is being asked, by serial; and what the scheduler's process is."""

    __slots__ = ("here",)

    def __init__(self) -> None:
        super().__init__()
        self.here: dict[int, Inquiry] = {}
