"""Medians, quantiles, and how many times better one figure is than another."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Figures = dict[str, float]

_NOT_COMPARED: Final = ("tasks", "worker", "runner", "nanny")


def quantile(values: Sequence[float], share: float) -> float:
    """The one below which that share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def medians(rounds: Sequence[Mapping[str, float]]) -> Figures:
    """Of each figure, over the rounds that have it."""
    names = dict.fromkeys(name for figures in rounds for name in figures)
    return {name: median(figures[name] for figures in rounds if name in figures) for name in names}


def more_is_better(name: str) -> bool:
    """Whether a figure of this name is good when it is large: what comes per second, or back."""
    return name.endswith("/s") or name.startswith("returned")


def times_better(name: str, ours: float, theirs: float) -> float | None:
    """How many times better ours is.

    Nothing where one of them is nothing, or less than that, and for processes that share the work
    differently in each system.
    """
    if name.split(maxsplit=1)[0] in _NOT_COMPARED or ours <= 0 or theirs <= 0:
        return None
    return ours / theirs if more_is_better(name) else theirs / ours
