"""A new scheduler in tests, to which the members of a cluster come back."""

from __future__ import annotations

from typing import Any

from tests.scheduler.conftest import Driver
from trio_dask.messages import Message, session, tasks as words
from trio_dask.messages.ids import first_attempt, first_id
from trio_dask.messages.reunion import Announced, Known, Members

C, D, A, B = 1, 2, 11, 12
BEFORE = "the cluster before"
BRIEF = "a name for some seconds"
ME, OTHER = 5, 6
FIRST = first_id(ME)
OLD = first_attempt(3)
RESTART_S = 10.0


class Reunion(Driver):
    """A new scheduler, to which the members of a cluster come back."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(reconnect_s=RESTART_S, **settings)

    def heard(self, peer: int, *, keep: bool = False) -> list[Message]:
        """What was said to the peer, but for who the members are."""
        return [each for each in super().heard(peer, keep=keep) if not isinstance(each, Members)]

    def client_back(self, peer: int = C, number: int = ME) -> None:
        """A client is there again; it has still to tell what it wants."""
        message = session.RegisterClient(
            f"c{number}", f"the secret of peer {peer}", number, BEFORE, 3
        )
        self.core.client_joined(peer, message, self.now)
        self.settle()

    def worker_back(self, peer: int = A, nthreads: int = 1, **fields: Any) -> str:
        """A worker is there again; it has still to tell what it has."""
        fields = {"secret": f"the secret of peer {peer}", "cluster": BEFORE, "epoch": 3} | fields
        return self.worker(peer, nthreads, **fields)

    def remembers(
        self, peer: int, *, workers: tuple[int, ...] = (A,), clients: Any = (ME,)
    ) -> None:
        """It tells who was in the cluster."""
        addresses = [f"tcp://host:{each}" for each in workers]
        members = Members(BEFORE, 3, 7, True, addresses, list(clients), [], [])
        self.tell(peer, members)

    def describes(self, args: list[bytes], *known: tuple[int, int, bytes], peer: int = C) -> None:
        """A client describes its tasks again, and that is all."""
        self.tell(peer, words.Functions([FIRST], ["inc"], [b"INC"]))
        self.tell(peer, words.Submit(FIRST, [FIRST], args, [], [], [], [], True, {}))
        if known:
            tids, statuses, values = map(list, zip(*known, strict=True))
            self.tell(peer, Known(tids, statuses, values, tids))
        self.tell(peer, Announced(0, []))

    def window(self, peer: int) -> dict[int, int]:
        """The attempts that a worker has, as far as is known, and their tasks."""
        window = self.core.state.workers[f"tcp://host:{peer}"].window
        return {attempt: task.tid for attempt, task in window.items()}


def begun() -> Reunion:
    """A scheduler that has just begun, to which a worker and a client come back."""
    found = Reunion()
    found.client_back()
    found.worker_back()
    found.remembers(C)
    found.remembers(A)
    return found
