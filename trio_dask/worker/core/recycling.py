"""Recycling: a runner that has done much, is large or old makes room for a fresh one.

It takes nothing new, and what it runs ends. Then what it holds is packed into the worker's
store, it is told to leave, and another takes its place: no result is lost, and no task blamed.
Values that cannot be packed keep it at work until they are not needed any more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from trio_dask.messages.tasks import Recall
from trio_dask.worker.core import inputs
from trio_dask.worker.core.actions import KillRunner

if TYPE_CHECKING:
    from trio_dask.messages import Payload
    from trio_dask.worker.core.state import Runner, WorkerState

#: A runner that was told to leave has so long for it.
LEAVE_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RecycleRules:
    """When a runner has done enough; 0, or infinity, for never."""

    max_tasks: int = 0
    max_rss: int = 0
    max_age_s: float = math.inf

    @property
    def any(self) -> bool:
        """Whether there is a limit at all."""
        return bool(self.max_tasks or self.max_rss) or self.max_age_s < math.inf

    def reached(self, *, tasks: int, rss: int, age_s: float) -> str:
        """Which limit a runner has reached, in words; empty if none."""
        if 0 < self.max_tasks <= tasks:
            return f"recycled: it has run {tasks} tasks"
        if tasks and 0 < self.max_rss <= rss:  # a fresh one would have as much
            return f"recycled: it had {rss / (1 << 20):.1f} MiB of memory"
        if age_s >= self.max_age_s:
            return f"recycled: it has run for {age_s:.0f} s"
        return ""


@dataclass(slots=True, eq=False)
class Recycling:
    """How far a runner has got with making room."""

    reason: str
    asked: set[int] = field(default_factory=set)  # values that it was asked for
    told: bool = False  # to leave
    since: float | None = None


def look(state: WorkerState, runner: Runner, *, rss: int, age_s: float, now: float) -> None:
    """It has so much memory, and has lived so long."""
    going = runner.recycling
    if going is None:
        _begin(state, runner, rss=rss, age_s=age_s)
    elif going.told and going.since is None:
        going.since = now
    elif going.since is not None and now - going.since >= LEAVE_S:
        runner.kill = going.reason


def go_on(state: WorkerState) -> None:
    """See how far it is: called whenever something has happened."""
    for runner in tuple(state.runners.values()):
        if runner.forgotten:
            continue  # it is about to end anyway
        if runner.recycling is None:
            _begin(state, runner)
        if runner.recycling is not None and not runner.given and not runner.recycling.told:
            _empty(state, runner, runner.recycling)


def _begin(state: WorkerState, runner: Runner, *, rss: int = 0, age_s: float = 0.0) -> None:
    if not runner.takes_tasks or state.draining is not None:
        return
    reason = state.recycle_rules.reached(tasks=runner.answered, rss=rss, age_s=age_s)
    runner.bound.intersection_update(runner.held)
    if not reason or runner.bound:
        return
    runner.recycling = Recycling(reason)
    state.review()
    if not state.taking:
        for row in tuple(state.waiting.values()):
            inputs.forget(state, row)
            state.out.returned([row.attempt])
    if runner.given:
        runner.out.append(Recall(list(runner.given)))


def _empty(state: WorkerState, runner: Runner, going: Recycling) -> None:
    """Nothing runs in it: have its values, then have it leave."""
    kept = state.store
    for tid in runner.held:
        if tid not in going.asked and not kept.holds(state.name, tid):
            going.asked.add(tid)
            payload = kept.get(tid)
            if payload is not None:  # a neighbour has it, too
                kept.put(state.name, tid, payload)
            elif tid not in state.exports:
                state.exports[tid] = []
                runner.to_export.append(tid)
    if not (runner.to_export or runner.exporting):
        going.told = True
        state.out.runners.append(KillRunner(runner.number, going.reason, gently=True))


def exported(state: WorkerState, runner: Runner, tid: int, payload: Payload | None) -> None:
    """It has given a value out; None if that cannot be packed."""
    going = runner.recycling
    if going is None or tid not in runner.held:
        return
    if payload is not None:
        state.store.put(state.name, tid, payload)
    elif not going.told:
        runner.bound.add(tid)
        runner.recycling = None
        state.review()
