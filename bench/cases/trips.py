"""How long one task takes when nothing else is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.arithmetic import quantile
from bench.servers import cpu_by_role

if TYPE_CHECKING:
    from bench.turn import Turn


def measure(turn: Turn) -> dict[str, float]:
    """Submit, wait for the value, and again; and what a trip costs the processors."""
    roles, trips = turn.running.roles(), turn.scale.trips
    before = cpu_by_role(roles)
    seconds = turn.running.client.one_by_one(trips)
    used = {role: after - before[role] for role, after in cpu_by_role(roles).items()}
    figures = {"p50 ms": quantile(seconds, 0.5) * 1e3, "p99 ms": quantile(seconds, 0.99) * 1e3}
    figures["CPU µs/task"] = sum(used.values()) / trips * 1e6
    for role, each in used.items():
        figures[f"{role} CPU µs/task"] = each / trips * 1e6
    return figures
