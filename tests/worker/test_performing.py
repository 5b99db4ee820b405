"""How often a worker asks its core what is to be done: once, unless doing it told the core more."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from trio_dask.comm import Keys
from trio_dask.worker.core import Action, AwaitDrain, FetchFrom, LookUp, Store
from trio_dask.worker.worker import Worker

if TYPE_CHECKING:
    from trio_dask.messages.inquiring import Told


class Core:
    """It wants what it is given here, one list after the other."""

    def __init__(self, name: str, *wishes: list[Action]) -> None:
        self.state = SimpleNamespace(name=name, address=f"tcp://{name}:1", store=Store())
        self.stopping = self.draining = False
        self.look_at = math.inf
        self.wishes = list(wishes)
        self.flushes = 0
        self.heard: list[Any] = []

    def flush(self) -> list[Action]:
        self.flushes += 1
        return self.wishes.pop(0) if self.wishes else []

    def told(self, message: Told) -> None:
        self.heard.append(message)

    def on_peer(self, session: int, message: Any) -> None:
        self.heard.append((session, message))

    def peer_joined(self, session: int, *, may_store: bool) -> None:
        """Somebody asks."""

    def drained(self, session: int) -> None:
        self.heard.append(session)


def worker_of(core: Core, neighbours: dict[str, Worker]) -> Worker:
    """A worker whose scheduler hears nothing."""
    worker = Worker(cast(Any, core), cast(Any, None), Keys(b"", b"", b""), neighbours)
    worker.open_for_neighbours()
    return worker


async def test_once_is_enough_where_the_core_hears_nothing() -> None:
    """Two messages to a worker are two questions to its core, not four."""
    core = Core("a")
    worker = worker_of(core, {})
    worker.perform()
    worker.perform()
    assert core.flushes == 2


async def test_again_where_it_was_told_something() -> None:
    """By a question that is answered at once, or by a neighbour."""
    core = Core("a", [LookUp(1, "nothing", {})])
    worker_of(core, {}).perform()
    assert len(core.heard) == 1
    assert core.flushes == 2

    neighbours: dict[str, Worker] = {}
    asker = Core("a", [FetchFrom("tcp://b:1", 1, [7])])
    asked = Core("b", [AwaitDrain(1)])
    first = worker_of(asker, neighbours)
    worker_of(asked, neighbours)
    first.perform()
    assert asker.flushes == 1
    assert asked.flushes == 2
    assert asked.heard[-1] == 1
