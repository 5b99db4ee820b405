"""How long one task takes when nothing else is done."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.arithmetic import quantile

if TYPE_CHECKING:
    from bench.turn import Turn


def measure(turn: Turn) -> dict[str, float]:
    """Submit, wait for the value, and again."""
    seconds = turn.running.client.one_by_one(turn.scale.trips)
    return {"p50 ms": quantile(seconds, 0.5) * 1e3, "p99 ms": quantile(seconds, 0.99) * 1e3}
