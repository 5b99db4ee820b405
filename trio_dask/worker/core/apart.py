"""Attempts with a runner of their own, which runs nothing else and ends with them.

Such an attempt takes a slot as any other does: when its turn comes in the runner that the others
share, a slot is kept there, and the runner of its own is started. That is given the attempt when
its inputs are there, and is condemned from its first moment: it takes nothing more, what it has
made is put into the store, and then it ends. Whoever waits for others needs no slot, nor does it
once it runs after the death of the runner that has kept its slot: it goes on, and asks the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from trio_dask.messages.apart import Reserve, Reserved, Vacate
from trio_dask.messages.tasks import ERROR, Done
from trio_dask.worker.core import attempts, inputs, runners
from trio_dask.worker.core.restart import Restart

if TYPE_CHECKING:
    from collections.abc import Iterable

    from trio_dask.messages.tasks import Traced
    from trio_dask.worker.core.restart import Decision
    from trio_dask.worker.core.state import Row, Runner, WorkerState

ENDS: Final = "its one task has ended"
BACK: Final = "its one task was taken back"
#: What has begun goes before all that has not: a rank.
_AT_ONCE: Final = -(1 << 62)


@dataclass(slots=True, eq=False)
class Apart:
    """An attempt that is to have a runner of its own, or has it: until it has ended."""

    row: Row
    places: dict[int, str]
    large: dict[int, int]
    traced: Traced | None = None
    seat: int = 0  # 0: none is asked for
    keeper: int = 0  # the runner that keeps it, or is asked to
    runner: int = 0  # its own, once there is to be one


# ---------------------------------------------------------------- a slot


def begin(state: WorkerState, row: Row, places: dict[int, str], large: dict[int, int]) -> None:
    """It waits for its turn among the others."""
    traced = next((each for each in state.traced if row.attempt in each.attempts), None)
    apart = state.apart[row.attempt] = Apart(row, places, large, traced)
    _reserve(state, apart, row.rank)


def _reserve(state: WorkerState, apart: Apart, rank: int) -> None:
    keeper = state.taking[0]
    apart.seat, apart.keeper = state.next_serial(), keeper.number
    keeper.out.append(Reserve([apart.seat], [rank]))


def _vacate(state: WorkerState, apart: Apart) -> None:
    keeper = state.runners.get(apart.keeper)
    if apart.seat and keeper is not None and not keeper.forgotten:
        keeper.out.append(Vacate([apart.seat]))
    apart.seat = apart.keeper = 0


def on_reserved(state: WorkerState, runner: Runner, message: Reserved) -> None:
    """There are slots: who has none so far gets a runner."""
    by_seat = {each.seat: each for each in state.apart.values() if each.keeper == runner.number}
    for seat in message.seats:
        apart = by_seat.get(seat)
        if apart is not None and not apart.runner:
            _start(state, apart)


def _start(state: WorkerState, apart: Apart, delay_s: float = 0.0) -> None:
    own = runners.start(state, delay_s, alone=apart.row.attempt)
    own.condemned, own.replaced = ENDS, True  # it takes nothing else, and nobody is to succeed it
    apart.runner = own.number


def keeper_ready(state: WorkerState) -> None:
    """A new runner takes tasks: what runs apart takes slots of it."""
    for apart in state.apart.values():
        if apart.runner and not apart.seat and apart.row.attempt not in state.nested.parked:
            _reserve(state, apart, _AT_ONCE)


def keeper_left(state: WorkerState, runner: Runner) -> list[int]:
    """A runner takes no tasks any more, or has ended. Those whose turn had not come are not to run."""
    back: list[int] = []
    for attempt, apart in list(state.apart.items()):
        if apart.keeper != runner.number:
            continue
        if apart.runner:
            _vacate(state, apart)
        else:
            drop(state, attempt)
            back.append(attempt)
    return back


def on_parked(state: WorkerState, attempt: int, *, parked: int) -> None:
    """It waits for others, which may need its slot; or it goes on, and takes the next one."""
    apart = state.apart.get(attempt)
    if apart is None:
        return
    if parked:
        _vacate(state, apart)
    elif not apart.seat and state.taking:
        _reserve(state, apart, _AT_ONCE)


# ---------------------------------------------------------------- a runner


def own_ready(state: WorkerState, runner: Runner) -> None:
    """The runner of an attempt has come: the attempt is given to it when its inputs are there."""
    apart = state.apart.get(runner.alone)
    if apart is None:
        runner.kill = BACK
        return
    if inputs.resolve(state, apart.row, apart.places, apart.large):
        attempts.start(state, [apart.row])


def own_failed(state: WorkerState, runner: Runner, decision: Decision) -> None:
    """It has ended before it was ready: another is tried, as long as somebody wants it."""
    apart = state.apart.get(runner.alone)
    if apart is not None:
        _start(state, apart, decision.delay_s if isinstance(decision, Restart) else 0.0)


def own_left(state: WorkerState, runner: Runner) -> list[int]:
    """It has ended, as was meant or with its attempt. If it had not been given that, it goes back."""
    row = state.waiting.get(runner.alone)
    if row is not None:
        inputs.forget(state, row)
        return [row.attempt]
    drop(state, runner.alone)
    return []


def traces(state: WorkerState, attempt: int) -> list[Traced]:
    """What its runner is to know before it comes."""
    traced = state.apart[attempt].traced
    return [] if traced is None else [traced]


def is_awaited(state: WorkerState, runner: Runner) -> bool:
    """Whether it is for an attempt that it has not been given yet."""
    return not runner.ready or (runner.alone in state.apart and not runner.given)


def reader(state: WorkerState, attempt: int) -> Runner:
    """The runner that is to run the attempt."""
    apart = state.apart.get(attempt) if state.apart else None
    return state.taking[0] if apart is None else state.runners[apart.runner]


# ---------------------------------------------------------------- the end


def drop(state: WorkerState, attempt: int) -> None:
    """It has ended, or is not to run here: its slot is free, and a runner that it did not get to ends."""
    apart = state.apart.pop(attempt, None)
    if apart is None:
        return
    _vacate(state, apart)
    own = state.runners.get(apart.runner)
    if own is not None and own.ready and not own.given:
        own.kill = own.kill or (BACK if not own.answered else "")


def fail(state: WorkerState, attempt: int, failure: bytes) -> None:
    """An input of it cannot leave the process that it is in, so it cannot run in another."""
    inputs.forget(state, state.waiting[attempt])
    state.out.scheduler.append(Done([attempt], [ERROR], [0.0], [0], [failure]))


def ended(state: WorkerState, runner: Runner) -> None:
    """What a runner had for itself may have ended."""
    if not runner.given:
        drop(state, runner.alone)


def unbegun(state: WorkerState) -> list[int]:
    """Those that no runner has been given, nor wait for inputs."""
    return [
        attempt
        for attempt, apart in state.apart.items()
        if attempt not in state.waiting
        and (not apart.runner or attempt not in state.runners[apart.runner].given)
    ]


def take_back(state: WorkerState, wanted: Iterable[int] | None = None) -> list[int]:
    """Those of `wanted`, or of all, that have not got so far: they are not to run here."""
    if not state.apart:
        return []
    there = set(unbegun(state))
    back = [each for each in (state.apart if wanted is None else wanted) if each in there]
    for attempt in back:
        drop(state, attempt)
    return back
