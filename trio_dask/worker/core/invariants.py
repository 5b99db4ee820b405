"""What is true of a worker whenever it has said all it has to say, each rule a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

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
    told = [state.usable_slots]
    if not taking:
        told.append(state.nthreads * state.count)  # before the first, what was registered
    rule(state.slots in told, "so are the slots")
    shared = state.waiting.keys() - state.apart.keys()
    rule(taking or not shared, "nothing waits for a runner that all share where none takes tasks")
    _of_runners_apart(state, rule)
    inquired = {number for each in state.inquired.values() for number in each.waiting}
    rule(inquired <= state.runners.keys(), "only who is there is to answer")
    plugging = {number for each in state.plugging.values() for number in each.waiting}
    rule(plugging <= {each.number for each in taking}, "only who takes tasks is waited for")
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
    queued = [tid for tid, want in state.wants.items() if want.queued]
    asked = sorted([*asked, *queued])
    rule(asked == sorted(state.wants), "each value that is wanted was asked for once, or is to be")
    _of_inwards(state, rule)
    _of_memory(state, rule)
    sessions = state.sessions.values()
    copies = sum(each.copies for each in sessions)
    rule(copies == state.copies, "the copies under way are those for all peers")
    rule(all(each.copies >= each.expected for each in sessions), "what is expected is a copy")
    rule(all(each.expected >= 0 for each in sessions), "no peer is owed less than nothing")
    return found


def _of_runners_apart(state: WorkerState, rule: Callable[[object, str], None]) -> None:
    """What is true of attempts that have runners of their own."""
    for runner in state.runners.values():
        rule(not runner.alone or runner.given.keys() <= {runner.alone}, "one runs one alone")
    for attempt, apart in state.apart.items():
        own, keeper = state.runners.get(apart.runner), state.runners.get(apart.keeper)
        rule(bool(apart.runner) == (own is not None), "its runner is there")
        rule(own is None or own.alone == attempt, "and for it alone")
        rule(bool(apart.seat) == (keeper in state.taking), "who keeps its slot takes tasks")
        rule(own is not None or apart.seat, "what has no runner has asked for a slot")
        begun = own is not None and attempt in own.given
        ready = own is not None and own.ready
        waits = attempt in state.waiting
        rule(ready == (waits or begun), "with a runner it runs, or waits for its inputs")


def _of_inwards(state: WorkerState, rule: Callable[[object, str], None]) -> None:
    """What is true of how much is on its way to the process."""
    inwards, wants = state.store.inwards, state.wants
    ours, line = (
        {tid: nbytes for (who, tid), nbytes in book.items() if who == state.address}
        for book in (inwards.taken, inwards.waiting)
    )
    entered = {tid: each.nbytes for tid, each in wants.items() if each.entered}
    rule(ours | line == entered, "what is large and wanted is on its way or in line")
    queued = {tid for tid, want in wants.items() if want.queued}
    rule(queued == line.keys(), "what is in line has not been asked for")
    every = inwards.taken.values()
    rule(sum(every) == inwards.nbytes, "the bytes on their way are those of all values")
    few = len(every) <= 1 or not inwards.bytes_max or inwards.nbytes <= inwards.bytes_max
    rule(few, "no more is on its way to the process than may be, or one value")
    first = next(iter(inwards.waiting), None)
    turn = first is None or first[0] in inwards.due or inwards.waking  # it is about to be asked for
    rule(turn or every, "nothing waits for room where all of it is free")


def _of_memory(state: WorkerState, rule: Callable[[object, str], None]) -> None:
    """What is true of where values are."""
    room, store = state.room, state.store
    there = store.held_by(state.name)
    in_runners = set[int]().union(*(each.held for each in state.runners.values()))
    there |= in_runners
    rule(
        there >= room.here.keys() | room.small.keys() | room.fixed.keys(),
        "what takes memory is here",
    )
    filed = all(store.holds(state.name, tid) and store.is_filed(tid) for tid in room.filed)
    rule(filed, "what is believed to be in a file is")
    rule(in_runners >= room.copies.keys() <= room.filed.keys(), "a copy of a file is in a runner")
    rule(room.alone <= room.filed.keys(), "what has a file of its own is in one")
    for book, nbytes in (
        (room.here, room.here_bytes),
        (room.small, room.small_bytes),
        (room.copies, room.copies_bytes),
        (room.fixed, room.fixed_bytes),
        (room.leaving, room.leaving_bytes),
        (room.filed, room.filed_bytes),
    ):
        rule(sum(book.values()) == nbytes, "the bytes of values are those of all of them")
