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

    seen = dict.fromkeys(state.waiting)
    for runner in state.runners.values():
        given = runner.given.keys()
        rule(given.isdisjoint(seen), "an attempt waits here or is in one of the runners")
        seen |= dict.fromkeys(given)
        rule(runner.stopping.keys() <= given, "only what is in a runner is being stopped in it")
        rule(runner.abandoned <= runner.stopping.keys(), "what was reported early is being stopped")
        inside = (given, runner.held, runner.functions)
        rule(runner.ready or not any(inside), "a runner that is not ready has nothing in it")
    taking = [each for each in state.runners.values() if each.takes_tasks]
    rule(state.taking == taking, "it is known which runners take tasks")
    told = (len(taking), len(taking) or state.count)  # before the first, what was registered
    rule(state.slots in [state.nthreads * each for each in told], "so are the slots")
    rule(taking or not state.waiting, "nothing waits where no runner takes tasks")
    for attempt, row in state.waiting.items():
        rule(row.missing, f"attempt {attempt:x}, which waits, misses an input")
        wanted = all(
            tid in state.wants and attempt in state.wants[tid].waiting for tid in row.missing
        )
        rule(wanted, f"what attempt {attempt:x} misses is being fetched for it")
    asked = sorted(
        [tid for each in state.requests.values() for tid in each.tids]
        + [tid for tid, want in state.wants.items() if want.moving]
    )
    rule(asked == sorted(state.wants), "each value that is wanted was asked for once")
    sessions = state.sessions.values()
    rule(all(each.expected >= 0 for each in sessions), "no peer is owed less than nothing")
    return found
