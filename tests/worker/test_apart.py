"""Attempts with runners of their own: they take a slot, and nothing is left of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.worker.apart_driver import apart, asked, begun, here, reserved, seated, settled, told
from tests.worker.test_announcing import lasting_core, told as told_anew
from tests.worker.test_stopping import board, done
from tests.worker.worker_driver import FID, ME, A, after, found, ready_core, run
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.agreeing import Counted, Recount
from trio_dask.messages.apart import Reserve, Reserved, Vacate
from trio_dask.messages.fleet import Leave, Renew
from trio_dask.messages.nested import Parked
from trio_dask.messages.plugins import Plugins
from trio_dask.messages.reunion import Attempts
from trio_dask.messages.tasks import (
    ERROR,
    HERE,
    INLINE,
    KILL,
    OK_HELD,
    OK_INLINE,
    RAISE,
    STOPPED,
    Done,
    Free,
    Functions,
    Interrupt,
    Interrupting,
    Recall,
    Returned,
    Run,
    RunnerDied,
    Slots,
    Traced,
)
from trio_dask.messages.values import UNPICKLABLE, Give, Values
from trio_dask.worker.core import (
    FetchFrom,
    KillRunner,
    StartRunner,
    Store,
    ToRunner,
    ToScheduler,
    WorkerCore,
)
from trio_dask.worker.core.apart import BACK, ENDS
from trio_dask.worker.core.condemning import CONDEMNED_MAX
from trio_dask.worker.core.stopping import WHY

URGENT = -(1 << 62)
PURPOSE = {"on_purpose": True}


def test_it_runs_by_itself_and_its_runner_ends_with_it() -> None:
    """Not before there is a slot; another task goes on beside it."""
    core = ready_core()
    core.on_scheduler(run((5, {})))
    core.flush()
    seat = begun(core)
    assert core.state.slots == 2  # it takes one of them, as any other
    core.on_scheduler(run((6, {})))
    assert settled(core) == [ToRunner(1, [run((6, {}))])]
    core.on_runner(2, done(1, OK_INLINE))
    assert settled(core) == [
        ToScheduler([done(1, OK_INLINE)]),
        ToRunner(1, [Vacate([seat])]),
        KillRunner(2, ENDS, gently=True),
    ]
    core.runner_died(2, [], PURPOSE)
    assert settled(core) == []  # nobody has to know
    assert core.books()["apart"] == 0


def test_what_it_has_made_is_in_the_store_before_it_ends() -> None:
    """And read from there by whoever needs it."""
    core = ready_core()
    begun(core)
    core.on_runner(2, done(1, OK_HELD))
    question = asked(settled(core), 2)
    assert question.tids == [1001]
    core.on_runner(2, found(question.serial, {1001: b"v"}))
    assert settled(core) == [KillRunner(2, ENDS, gently=True)]
    core.runner_died(2, [], PURPOSE)
    assert settled(core) == []
    core.on_scheduler(run((2, {1001: ME})))
    assert settled(core) == [
        ToRunner(
            1,
            [
                Give([1001], [b"v"]),
                Run([2], [1002], [FID], [2], [b"x"], [1], [1001], [HERE], [], [], []),
            ],
        )
    ]


def test_its_inputs_are_brought_to_its_own_runner() -> None:
    """From other workers, from the store, and from the runner that the others share."""
    core = ready_core()
    core.on_scheduler(run((3, {})))
    core.on_runner(1, done(3, OK_HELD))
    core.on_scheduler(apart((1, {50: A, 1003: ME})))
    core.on_runner(1, Reserved(reserved(settled(core)).seats))
    settled(core)
    core.runner_ready(2)
    wanted = settled(core)
    near, far = asked(wanted, 1), wanted[-1]
    assert near.tids == [1003]
    assert isinstance(far, FetchFrom)
    assert (far.address, far.tids) == (A, [50])
    core.fetched(found(far.serial, {50: b"far"}))
    core.on_runner(1, found(near.serial, {1003: b"near"}))
    give, _, given = told(settled(core), 2)
    assert give == Give([50, 1003], [b"far", b"near"])
    assert given == here(1, dep_counts=[2], dep_tids=[50, 1003], dep_at=[HERE, HERE])
    assert 50 not in core.state.runners[1].held


def test_an_input_that_cannot_leave_its_process() -> None:
    """Then it cannot run, and says why; the value stays."""
    core = ready_core()
    core.on_scheduler(run((3, {})))
    core.on_runner(1, done(3, OK_HELD))
    core.on_scheduler(apart((1, {1003: ME})))
    [seat] = reserved(settled(core)).seats
    core.on_runner(1, Reserved([seat]))
    settled(core)
    core.runner_ready(2)
    question = asked(settled(core), 1)
    core.on_runner(1, Values(question.serial, [1003], [UNPICKLABLE], [b"why"], [], last=True))
    assert settled(core) == [
        ToScheduler([Done([1], [ERROR], [0.0], [0], [b"why"])]),
        ToRunner(1, [Vacate([seat])]),
        KillRunner(2, BACK, gently=True),
    ]
    assert 1003 in core.state.runners[1].held


def test_what_comes_with_it_goes_with_it() -> None:
    """Small inputs, keys, limits, and the span that it is part of."""
    core = ready_core()
    message = apart((1, {}))
    message.dep_counts, message.dep_tids, message.dep_at = [1], [50], [INLINE]
    message.dep_values, message.keys = [b"small"], ["mine"]
    message.timeouts, message.deadlines, message.ways = [5.0], [9.0], [KILL]
    trace = Traced([1], "span")
    core.on_scheduler(trace)
    core.on_scheduler(message, 100.0)
    core.on_runner(1, Reserved(reserved(settled(core)).seats))
    settled(core)
    core.runner_ready(2)
    span, _, given = told(settled(core), 2)
    assert span == trace
    assert isinstance(given, Run)
    assert (given.dep_values, given.keys) == ([b"small"], ["mine"])
    assert (given.timeouts, given.deadlines, given.ways) == ([5.0], [109.0], [KILL])
    assert not core.state.traced


@pytest.mark.parametrize("stage", ["no slot", "starting", "fetching"])
@pytest.mark.parametrize("how", ["recalled", "interrupted", "drained", "renewed"])
def test_what_has_not_begun_goes_back(stage: str, how: str) -> None:
    """Once; its slot is free, and a runner that was started for it is ended."""
    core = ready_core()
    inputs = {50: A} if stage == "fetching" else {}
    core.on_scheduler(apart((1, inputs)))
    [seat] = reserved(settled(core)).seats
    if stage != "no slot":
        core.on_runner(1, Reserved([seat]))
        settled(core)
    if stage == "fetching":
        core.runner_ready(2)
        settled(core)
    said: list[Any] = [Returned([1])]
    match how:
        case "recalled":
            core.on_scheduler(Recall([1]))
        case "interrupted":
            core.on_scheduler(Interrupt([1], [KILL]))
        case "drained":
            core.drain("the end", patient=True)
            said.append(Leave("the end", at_once=False))
        case _:
            core.on_scheduler(Renew(7, forget=True))
            said = [Slots(0)]
    wanted = settled(core)
    assert wanted[0] == ToScheduler(said)
    assert core.books()["apart"] == core.books()["waiting"] == 0
    if how != "renewed":
        assert ToRunner(1, [Vacate([seat])]) in wanted
    ended = [each.runner for each in wanted if isinstance(each, KillRunner)]
    if stage == "fetching":
        assert 2 in ended
    elif stage == "starting":
        assert 2 not in ended
        core.runner_ready(2)
        assert KillRunner(2, BACK, gently=True) in settled(core)
    if stage == "no slot":
        core.on_runner(1, Reserved([seat]))  # it was on its way
        assert not any(isinstance(each, StartRunner) for each in settled(core))


@pytest.mark.parametrize("hears", [True, False])
def test_its_runner_is_stopped_without_harm_to_others(hears: bool) -> None:
    """It ends, and with it nothing else."""
    core = ready_core()
    core.on_scheduler(run((5, {})))
    core.flush()
    seat = begun(core)
    core.on_scheduler(Interrupt([1], [KILL]))
    core.flush()
    if hears:
        core.on_runner(2, Interrupting([1]))
    core.climb(board(1, 5), 10.0)
    if hears:
        stopped = ToScheduler([Done([1], [STOPPED], [0.0], [0], [b""])])
        assert settled(core) == [stopped, KillRunner(2, ENDS)]
        said = []
    else:
        assert settled(core) == [KillRunner(2, WHY)]
        said = [ToScheduler([RunnerDied([1], [], [], PURPOSE)])]
    core.runner_died(2, [1], PURPOSE)
    assert settled(core) == [*said, ToRunner(1, [Vacate([seat])])]
    assert core.state.runners[1].given == {5: 1005}


def test_it_is_interrupted_as_others_are() -> None:
    """Asked, and then struck."""
    core = ready_core()
    begun(core)
    core.on_scheduler(Interrupt([1], [1]))
    core.on_runner(2, Interrupting([1]))
    core.climb(board(1), 10.0)
    core.flush()
    core.climb(board(1), 10.11)
    assert settled(core) == [ToRunner(2, [Interrupt([1], [RAISE])])]
    core.on_runner(2, done(1))
    assert KillRunner(2, ENDS, gently=True) in settled(core)


def test_its_death_is_that_of_what_ran_there() -> None:
    """The others know nothing of it, and no runner takes its place."""
    core = ready_core()
    core.on_scheduler(run((5, {})))
    core.flush()
    seat = begun(core)
    core.runner_died(2, [1], {"signal": 9})
    assert settled(core) == [
        ToScheduler([RunnerDied([1], [], [], {"signal": 9})]),
        ToRunner(1, [Vacate([seat])]),
    ]


def fetching(core: WorkerCore) -> int:
    """Its runner is there, and an input is on its way; the number of its slot."""
    core.on_scheduler(apart((1, {50: A})))
    [seat] = reserved(settled(core)).seats
    core.on_runner(1, Reserved([seat]))
    core.flush()
    core.runner_ready(2)
    settled(core)
    return seat


def test_its_runner_dies_before_it_has_come() -> None:
    """Then it has not begun; what is fetched for it is for nobody."""
    core = ready_core()
    seat = fetching(core)
    core.runner_died(2, [], {"signal": 9})
    assert settled(core) == [
        ToScheduler([RunnerDied([], [1], [], {"signal": 9})]),
        ToRunner(1, [Vacate([seat])]),
    ]
    assert core.books()["waiting"] == core.books()["apart"] == 0


def test_its_runner_is_not_ended_before_it_has_come() -> None:
    """However often it is looked whether anything is to be stopped."""
    core = ready_core()
    seated(core)
    settled(core)
    core.climb([], 10.0)
    assert settled(core) == []
    core.on_scheduler(Recall([1]))
    core.flush()
    core.runner_ready(2)
    core.runner_died(2, [], PURPOSE)
    core.flush()
    core.on_scheduler(apart((3, {50: A})))
    core.on_runner(1, Reserved(reserved(settled(core)).seats))
    core.flush()
    core.runner_ready(3)
    settled(core)
    core.climb([], 11.0)
    assert settled(core) == []


def test_a_runner_that_does_not_start_is_tried_again() -> None:
    """Later and later, while somebody wants it."""
    core = ready_core()
    seat = seated(core)
    assert settled(core) == [StartRunner(2, 0.0, alone=True)]
    core.runner_died(2, [], {})
    assert settled(core) == [StartRunner(3, 0.0, alone=True)]
    core.runner_died(3, [], {})
    assert settled(core) == [StartRunner(4, 1.0, alone=True)]
    core.on_scheduler(Recall([1]))
    assert settled(core) == [ToScheduler([Returned([1])]), ToRunner(1, [Vacate([seat])])]
    core.runner_died(4, [], {})
    assert settled(core) == []


def test_who_keeps_its_slot_may_die() -> None:
    """It goes on, and the next one keeps a slot for it before all others; what has none goes back."""
    core = ready_core()
    begun(core)
    core.on_scheduler(apart((3, {})))
    core.flush()
    core.runner_died(1, [], {})
    assert settled(core) == [
        ToScheduler([Slots(0), RunnerDied([], [3], [], {})]),
        StartRunner(3, 0.0),
    ]
    core.runner_ready(3)
    kept = reserved(settled(core), 3)
    assert kept.ranks == [URGENT]
    core.on_runner(3, Reserved(kept.seats))
    assert settled(core) == []
    core.on_runner(2, done(1, OK_INLINE))
    assert ToRunner(3, [Vacate(kept.seats)]) in settled(core)


def test_who_keeps_its_slot_may_be_recycled() -> None:
    """The next one keeps it, and the old one ends."""
    core = ready_core()
    seat = begun(core)
    core.recycle(1, "old")
    assert settled(core) == [StartRunner(3, 0.0)]
    core.runner_ready(3)
    wanted = settled(core)
    assert ToRunner(1, [Vacate([seat])]) in wanted
    assert KillRunner(1, "old", gently=True) in wanted
    assert reserved(wanted, 3).ranks == [URGENT]


def test_who_waits_for_others_needs_no_slot() -> None:
    """They may need it; when it goes on it takes the next one."""
    core = ready_core()
    seat = begun(core)
    core.on_runner(2, Parked([1], [1]))
    assert settled(core) == [ToScheduler([Parked([1], [1])]), ToRunner(1, [Vacate([seat])])]
    core.on_runner(2, Parked([1], [0]))
    again = reserved(settled(core))
    assert again.ranks == [URGENT]
    assert again.seats != [seat]
    core.on_runner(1, Reserved(again.seats))
    assert settled(core) == []
    core.on_runner(2, done(1, OK_INLINE))
    assert ToRunner(1, [Vacate(again.seats)]) in settled(core)


def test_it_has_all_plugins_and_nobody_waits_for_it() -> None:
    """Whoever has them set up hears of it when the runners that stay have them."""
    core = ready_core()
    core.on_scheduler(Plugins(0, ["p"], [b"p"]))
    core.flush()
    seated(core)
    settled(core)
    core.on_scheduler(Plugins(9, ["q"], [b"q"]))
    settled(core)
    core.runner_ready(2)
    assert told(settled(core), 2)[:2] == [
        Plugins(0, ["p"], [b"p"]),
        Plugins(9, ["q"], [b"q"]),
    ]


def test_it_is_on_the_books() -> None:
    """Whether it has begun or not, it has not been answered."""
    core = ready_core()
    core.on_scheduler(apart((1, {})))
    core.flush()
    core.on_scheduler(Recount(0))
    assert settled(core) == [ToScheduler([Counted(0, [1], [1001])])]
    assert core.books()["apart"] == 1


def test_a_scheduler_that_knows_nothing_is_told_of_it() -> None:
    """As of something that has not begun, until its runner has been given it."""
    core = lasting_core()
    core.on_scheduler(apart((1, {}), (3, {})))
    seats = [
        seat
        for message in told(after(core), 1)
        if isinstance(message, Reserve)
        for seat in message.seats
    ]
    core.on_runner(1, Reserved(seats[:1]))
    core.flush()
    core.runner_ready(2)
    core.flush()
    said = told_anew(core)[Attempts]
    assert said == Attempts([1, 3], [1001, 1003], [1, 0])


def test_however_many_run_apart_a_runner_is_replaced() -> None:
    """They are no runners that do not stop."""
    core = ready_core()
    for number in range(CONDEMNED_MAX + 1):
        begun(core, 10 + number, 2 + number)
    core.on_scheduler(run((1, {}), (3, {})))
    core.on_scheduler(Interrupt([1], [KILL]))
    core.on_runner(1, Interrupting([1]))
    core.flush()
    core.climb(board(1, 3), 10.0)
    assert StartRunner(3 + CONDEMNED_MAX, 0.0) in settled(core)


def test_where_there_are_no_processes_it_runs_as_others_do() -> None:
    """In the threads that all have."""
    core = WorkerCore("me", ME, 2, Store(), processes=False)
    core.flush()
    core.runner_ready(1)
    core.on_scheduler(Functions([FID], ["f"], [b"f"]))
    core.on_scheduler(apart((1, {})))
    assert settled(core) == [ToRunner(1, [Functions([FID], ["f"], [b"f"]), run((1, {}))])]


@pytest.mark.parametrize("attempts", [[2], [1, 2]])
def test_only_what_comes_can_be_apart(attempts: list[int]) -> None:
    """Others are an error, and nothing has changed."""
    core = ready_core()
    message = run((1, {}))
    message.apart = attempts
    with pytest.raises(RemoteProtocolError, match="are not there"):
        core.on_scheduler(message)
    assert settled(core) == []
    core.on_scheduler(apart((1, {})))
    settled(core)
    with pytest.raises(RemoteProtocolError, match="given before"):
        core.on_scheduler(run((1, {})))


def test_free_drops_what_it_has_made() -> None:
    """While it is on its way into the store; then its runner ends."""
    core = ready_core()
    begun(core)
    core.on_runner(2, done(1, OK_HELD))
    question = asked(settled(core), 2)
    core.on_scheduler(Free([1001]))
    assert settled(core) == [ToRunner(2, [Free([1001])])]
    core.on_runner(2, found(question.serial, {1001: b"v"}))
    assert settled(core) == [KillRunner(2, ENDS, gently=True)]
    assert len(core.state.store) == 0
