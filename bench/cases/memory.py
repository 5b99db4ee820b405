"""Memory: of the processes as such, and of tasks that wait."""

from __future__ import annotations

import gc
import tempfile
import time
from time import perf_counter
from typing import TYPE_CHECKING, Final

from bench import graphs
from bench.servers import resident, settle

if TYPE_CHECKING:
    from bench.turn import Turn

#: With its next heartbeat a worker says what it has heard, and that is not kept any more.
_GIVE_BACK_S: Final = 7.0
_POLL_S: Final = 0.25


def measure_resident(turn: Turn) -> dict[str, float]:
    """Memory in use by the largest process of each role.

    And by all that it takes to have a process that runs tasks, shared among those.
    """
    roles = turn.running.roles()
    settle([pid for pids in roles.values() for pid in pids])
    figures = {
        f"{role} MiB": max(resident([pid]) for pid in pids) / 2**20 for role, pids in roles.items()
    }
    behind = [
        pid for role, pids in roles.items() if role not in ("client", "scheduler") for pid in pids
    ]
    figures["for each process that runs tasks MiB"] = (
        resident(behind) / len(roles[turn.running.hand]) / 2**20
    )
    return figures


def measure_pending(turn: Turn) -> dict[str, float]:
    """Tasks that cannot run yet: their memory by role, and how much of it is given back."""
    running, graph = turn.running, graphs.noop_map(turn.scale.pending)
    roles = running.roles()
    watched = {role: roles[role] for role in ("scheduler", "client")}
    pids = [pid for pids in watched.values() for pid in pids]
    with tempfile.NamedTemporaryFile() as held:
        occupied = running.client.start(
            lambda calls: calls.map(graphs.hold, [held.name] * len(roles[running.hand]))
        )
        settle(pids)
        before = {role: resident(pids) for role, pids in watched.items()}
        futures = running.client.start(graph.build)
        settle(pids)
        height = {role: resident(pids) for role, pids in watched.items()}
    figures = {
        f"{role} bytes/task": (height[role] - before[role]) / graph.tasks for role in watched
    }
    assert running.client.gather(futures) == graph.expected, "wrong values"
    held_most = max(height["scheduler"], resident(roles["scheduler"]))
    del futures, occupied
    gc.collect()
    left = _lowest(roles["scheduler"])
    figures["returned %"] = 100 * (held_most - left) / max(1, held_most - before["scheduler"])
    return figures


def _lowest(pids: list[int]) -> int:
    """Memory in use when no more of it is given back."""
    deadline = perf_counter() + _GIVE_BACK_S
    lowest = resident(pids)
    while perf_counter() < deadline:
        time.sleep(_POLL_S)
        lowest = min(lowest, resident(pids))
    return lowest
