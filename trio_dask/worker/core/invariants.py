"""What is true of a worker whenever it has said all it has to say, each rule a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from trio_dask.worker.core.state import WorkerState


def violations(state: WorkerState) -> list[str]:
    """Every rule that does not hold, in words."""
    found: list[str] = []

    def rule(holds: object, sentence: str) -> None:
        if not holds:
            found.append(f"worker {state.name}: {sentence}")

    given, waiting = state.given.keys(), state.waiting.keys()
    rule(given.isdisjoint(waiting), "an attempt waits here or is in the runner, not both")
    rule(state.stopping.keys() <= given, "only what is in the runner is being stopped")
    rule(state.abandoned <= state.stopping.keys(), "what was reported early is being stopped")
    inside = (state.given, state.waiting, state.held, state.functions)
    rule(state.up or not any(inside), "without a runner nothing is in it")
    rule(state.up or not state.inquired, "without a runner none is asked")
    for attempt, row in state.waiting.items():
        rule(row.missing, f"attempt {attempt:x}, which waits, misses an input")
        wanted = all(
            tid in state.wants and attempt in state.wants[tid].waiting for tid in row.missing
        )
        rule(wanted, f"what attempt {attempt:x} misses is being fetched for it")
    asked = sorted(tid for each in state.requests.values() for tid in each.tids)
    rule(asked == sorted(state.wants), "each value that is wanted was asked for once")
    room, store = state.room, state.store
    there = state.held.keys() | store.held_by(state.name)
    rule(there >= room.here.keys() | room.fixed.keys(), "what takes memory is here")
    filed = all(store.holds(state.name, tid) and store.is_filed(tid) for tid in room.filed)
    rule(filed, "what is believed to be in a file is")
    for book, nbytes in (
        (room.here, room.here_bytes),
        (room.fixed, room.fixed_bytes),
        (room.leaving, room.leaving_bytes),
        (room.filed, room.filed_bytes),
    ):
        rule(sum(book.values()) == nbytes, "the bytes of values are those of all of them")
    sessions = state.sessions.values()
    rule(all(each.expected >= 0 for each in sessions), "no peer is owed less than nothing")
    return found
