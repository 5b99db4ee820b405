"""Tasks a second, and what each costs the processors, by role."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Final

from bench import graphs
from bench.servers import cpu_by_role, settle

if TYPE_CHECKING:
    from bench.graphs import Graph
    from bench.systems import Running
    from bench.turn import Turn

_HUNDREDTH: Final = 100


def run(running: Running, graph: Graph) -> dict[str, float]:
    """Submit a graph, gather it, check it.

    What a system does afterwards, as forgetting the tasks, is work for them, too, and counts.
    """
    roles = running.roles()
    pids = [pid for pids in roles.values() for pid in pids]
    settle(pids)
    before = cpu_by_role(roles)
    began = perf_counter()
    values = running.client.run(graph.build)
    seconds = perf_counter() - began
    assert values == graph.expected, "wrong values"
    settle(pids)
    used = {role: after - before[role] for role, after in cpu_by_role(roles).items()}
    figures = {"tasks": float(graph.tasks), "tasks/s": graph.tasks / seconds}
    figures["CPU µs/task"] = sum(used.values()) / graph.tasks * 1e6
    for role, each in used.items():
        figures[f"{role} CPU µs/task"] = each / graph.tasks * 1e6
    return figures


def measure_map(turn: Turn) -> dict[str, float]:
    """No-ops that have nothing to do with each other."""
    return run(turn.running, graphs.noop_map(turn.scale.tasks))


def measure_chain(turn: Turn) -> dict[str, float]:
    """Tasks of which one needs the one before."""
    return run(turn.running, graphs.chains(turn.scale.chains, turn.scale.length))


def measure_tree(turn: Turn) -> dict[str, float]:
    """Pairs are added until one is left."""
    return run(turn.running, graphs.tree(turn.scale.leaves))


def measure_merge(turn: Turn) -> dict[str, float]:
    """One task needs all others."""
    return run(turn.running, graphs.merge(turn.scale.inputs))


def measure_crossbar(turn: Turn) -> dict[str, float]:
    """A task for each pair of rows and columns."""
    return run(turn.running, graphs.crossbar(turn.scale.width))


def measure_values(turn: Turn) -> dict[str, float]:
    """Values of a kilobyte: computed and gathered; and gathered when all were computed before."""
    graph = graphs.texts(turn.scale.values)
    figures = run(turn.running, graph)
    client = turn.running.client
    futures = client.start(graph.build)
    client.wait(futures)
    began = perf_counter()
    values = client.gather(futures)
    figures["gathered values/s"] = graph.tasks / (perf_counter() - began)
    assert values == graph.expected, "wrong values"
    return figures


def measure_many(turn: Turn) -> dict[str, float]:
    """What a task costs among very many, against one among a hundredth of them."""
    running = turn.running
    few = run(running, graphs.noop_map(turn.scale.many // _HUNDREDTH))
    figures = run(running, graphs.noop_map(turn.scale.many))
    figures["cost against a hundredth"] = figures["CPU µs/task"] / few["CPU µs/task"]
    return figures
