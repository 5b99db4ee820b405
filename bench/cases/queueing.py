"""How long one task takes that is more urgent than very many which are queued before it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bench import graphs
from bench.arithmetic import quantile

if TYPE_CHECKING:
    from bench.graphs import Calls
    from bench.turn import Turn

#: What each of the others takes: the urgent one waits for a part of it, until a slot is free.
_DOZE_S: Final = 0.001
_PRIORITY: Final = 10


def measure(turn: Turn) -> dict[str, float]:
    """Submit, wait for the value, and again, while others wait for their turn."""
    client, scale = turn.running.client, turn.scale
    client.run(partial(_dozes, 10))  # what they take is known by then
    others = client.start(partial(_dozes, scale.queued))
    seconds = client.one_by_one(scale.trips, priority=_PRIORITY)
    others.clear()  # nobody wants them any more
    assert client.run(graphs.noop_map(10).build) == graphs.noop_map(10).expected
    return {"p50 ms": quantile(seconds, 0.5) * 1e3, "p99 ms": quantile(seconds, 0.99) * 1e3}


def _dozes(count: int, calls: Calls) -> list[Any]:
    return calls.map(graphs.doze, range(count), [_DOZE_S] * count)
