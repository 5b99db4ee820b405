"""Memory gets short: what goes to files, who pauses, who is ended."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.worker.worker_driver import ME, after, found, new_core, run
from trio_dask.config import MemoryConfig
from trio_dask.messages.fleet import Renew
from trio_dask.messages.sealing import Pressure, Sealed, Unload
from trio_dask.messages.session import RegisterPeer
from trio_dask.messages.tasks import (
    OK_HELD,
    Done,
    Free,
    Functions,
    Recall,
    Replicas,
    Returned,
    RunnerDied,
    Slots,
)
from trio_dask.messages.values import (
    ABSENT,
    FOUND,
    UNPICKLABLE,
    Fetch,
    Give,
    Store as StoreValues,
    Values,
)
from trio_dask.worker.core import (
    FetchFrom,
    MemoryRules,
    Spill,
    StartRunner,
    Store,
    ToPeer,
    ToRunner,
    ToScheduler,
    WorkerCore,
)
from trio_dask.worker.core.invariants import violations
from trio_dask.worker.core.room import FULL_S, LEAVING_BYTES_MAX, VAIN_S
from trio_dask.worker.pressure import watch_memory
from trio_dask.worker.rooms import Rooms

if TYPE_CHECKING:
    from trio.testing import MockClock

    from trio_dask.worker.core import Action

#: Values of ten bytes each: six of them are the target, seven too many.
RULES = MemoryRules(limit=100, file_bytes_min=1)
TEN = b"0123456789"


def a_core(
    rules: MemoryRules = RULES, name: str = "me", address: str = ME, store: Store | None = None
) -> WorkerCore:
    """A worker that has little memory, and a runner."""
    core = WorkerCore(name, address, 2, Store() if store is None else store, memory_rules=rules)
    core.runner_ready(1)
    core.on_scheduler(Functions([7], ["f"], [b"f"]))
    core.flush()
    return core


def put(core: WorkerCore, *tids: int) -> list[Action]:
    """A client leaves values here."""
    core.peer_joined(1, may_store=True)
    core.on_peer(1, StoreValues(1, list(tids), [TEN] * len(tids)))
    actions: list[Action] = [
        each for each in core.flush() if not isinstance(each, ToPeer | ToScheduler)
    ]
    core.peer_left(1)
    return actions


def made(core: WorkerCore, *attempts: int, nbytes: int = 10) -> list[Action]:
    """The runner makes values, and keeps them: the tasks are 1000 + attempt."""
    core.on_scheduler(run(*((each, {}) for each in attempts)))
    core.flush()
    n = len(attempts)
    core.on_runner(1, Done(list(attempts), [OK_HELD] * n, [0.1] * n, [nbytes] * n, [b""] * n))
    return [each for each in core.flush() if not isinstance(each, ToScheduler)]


def look(core: WorkerCore, used: int, own: int = 0, now: float = 1.0) -> list[Action]:
    """It is found to use so much."""
    core.uses(used, {1: own}, now)
    actions = core.flush()
    assert violations(core.state) == []
    return actions


# ---------------------------------------------------------------- values go to files


def test_above_the_target_the_oldest_go() -> None:
    """As many as it takes; below it nothing does."""
    core = a_core()
    assert put(core, 1, 2, 3, 4, 5, 6) == []
    for new, old in ((7, 1), (8, 2)):
        assert put(core, new) == [Spill([old])]
        core.moved(old, b"on disk")
        assert after(core) == []
    assert core.state.room.filed == {1: 10, 2: 10}
    assert core.state.room.managed == 60
    assert core.state.store.filed_bytes == 20
    assert core.state.store.get(1) == b"on disk"


def test_what_is_used_stays() -> None:
    """What a task has needed last goes last."""
    core = a_core()
    put(core, 1, 2, 3, 4, 5, 6)
    core.on_scheduler(run((1, {1: ME})))
    core.flush()
    assert put(core, 7) == [Spill([2])]


def test_what_lives_in_the_runner_is_asked_for() -> None:
    """It says where it has put it, and is told that it need not hold it any more."""
    core = a_core()
    [asked] = made(core, 1, 2, 3, 4, 5, 6, 7)
    assert asked == ToRunner(1, [Unload(1, [1001])])
    core.on_runner(1, Sealed([0], [1001], [-1], [b"on disk"]))
    core.on_runner(1, Values(1, [], [], [], [], last=True))
    assert after(core) == [ToRunner(1, [Free([1001])])]
    assert 1001 not in core.state.runners[1].held
    assert core.state.store.holds("me", 1001)
    assert core.books()["leaving"] == 0
    assert violations(core.state) == []
    core.on_scheduler(run((9, {1001: ME})))
    [told] = after(core)
    assert isinstance(told, ToRunner)
    assert told.messages[0] == Give([1001], [b"on disk"])


def test_what_cannot_be_pickled_stays_and_is_asked_for_once() -> None:
    """Others go in its place."""
    core = a_core()
    made(core, 1, 2, 3, 4, 5, 6, 7)
    core.on_runner(1, Values(1, [1001], [UNPICKLABLE], [b"why"], [], last=True))
    assert after(core) == [ToRunner(1, [Unload(2, [1002])])]
    assert core.state.room.fixed == {1001: 10}
    assert violations(core.state) == []
    core.on_scheduler(Free([1001]))
    after(core)
    assert core.state.room.managed == 60


def test_let_go_of_on_its_way() -> None:
    """It is nobody's concern any more, however that ends."""
    core = a_core()
    put(core, 1, 2, 3, 4, 5, 6, 7)
    made(core, 1)
    core.on_scheduler(Free([1, 2, 1001]))
    after(core)
    core.moved(1, b"on disk")
    core.unmoved(2, "", 1.0)
    core.on_runner(1, Values(1, [1001], [ABSENT], [], [], last=True))
    after(core)
    assert not core.state.store.holds("me", 1)
    assert core.state.room.leaving == {}
    assert core.state.room.managed == 50
    assert violations(core.state) == []


def test_a_full_disk_keeps_values_in_memory() -> None:
    """Nothing is tried for a while, and then it is."""
    core = a_core()
    put(core, 1, 2, 3, 4, 5, 6, 7)
    core.unmoved(1, "No space left on device", 5.0)
    assert after(core) == []
    assert core.state.store.get(1) == TEN
    assert core.heeds(0)
    assert look(core, 10, now=5.0 + FULL_S / 2) == []
    assert look(core, 10, now=5.0 + FULL_S) == [Spill([2])]
    assert not core.heeds(10)


def test_a_quota() -> None:
    """No more than that is in files."""
    core = a_core(MemoryRules(limit=100, file_bytes_min=1, max_spill=25))
    assert put(core, *range(1, 11)) == [ToRunner(1, [Pressure(2)]), Spill([1, 2])]
    core.moved(1, b"")
    core.moved(2, b"")
    assert after(core) == []
    assert put(core, 11) == []


async def test_a_quota_that_is_used_up_is_in_the_log(
    autojump_clock: MockClock, caplog: pytest.LogCaptureFixture
) -> None:
    """Once, however often there is room again and then is not."""
    core = a_core(MemoryRules(limit=100, file_bytes_min=1, max_spill=25))
    worker: Any = SimpleNamespace(
        core=core, name="me", perform=core.flush, shared_bytes=0, rooms=Rooms()
    )
    nannies: Any = SimpleNamespace(pids=lambda: {1: os.getpid()})
    with trio.move_on_after(100) as scope:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_memory, worker, nannies, MemoryConfig(), pytest.fail)
            await trio.sleep(5)
            assert not caplog.records
            for first in (1, 101):
                tids = range(first, first + 10)
                put(core, *tids)
                for tid in list(core.state.room.leaving):
                    core.moved(tid, b"")
                await trio.sleep(5)
                core.on_scheduler(Free([*tids]))
            scope.cancel()
    assert [each.message for each in caplog.records if "max-spill" in each.message] == [
        "Worker me has as much in files as it may, so values stay in memory: max-spill is 25 B"
    ]


def test_no_more_at_a_time_than_can_be_written_soon() -> None:
    """What is used meanwhile need not go."""
    each = LEAVING_BYTES_MAX // 2
    core = a_core(MemoryRules(limit=each, file_bytes_min=1))
    made(core, 1, 2, 3, 4, nbytes=each)
    assert core.state.room.leaving.keys() == {1001, 1002}
    core.on_runner(1, Sealed([0], [1001], [-1], [b"on disk"]))
    after(core)
    assert core.state.room.leaving.keys() == {1002, 1003}


def test_values_of_neighbours() -> None:
    """What one writes is in a file for all, and who had it in the runner holds it from now on."""
    store = Store()
    one = a_core(store=store)
    two = a_core(MemoryRules(), "you", "tcp://you:1", store)
    assert put(one, 1, 2, 3, 4, 5, 6) == []
    two.on_scheduler(run((1, {1: ME})))
    assert ToScheduler([Replicas([1])]) in after(two)
    assert put(one, 7) == [Spill([1])]
    for each in (one, two):
        each.moved(1, b"on disk")
    assert after(two) == [ToRunner(1, [Free([1])])]
    assert store.holds("you", 1)
    one.on_scheduler(Free([1]))
    assert store.get(1) == b"on disk"


def test_what_shares_a_file_is_let_go_of_where_it_was_given() -> None:
    """A large value in a file of its own is mapped by the runner; of others it has a copy."""
    core = a_core(MemoryRules(limit=100, file_bytes_min=1))
    put(core, *range(1, 8))
    core.moved(1, b"on disk...")
    core.on_scheduler(run((1, {1: ME})))
    core.on_runner(1, Done([1], [OK_HELD], [0.1], [0], [b""]))
    after(core)
    assert core.state.room.copies == {}
    core.moved(1, TEN, shared=True)
    assert core.state.room.alone == set()
    assert after(core) == [ToRunner(1, [Free([1])])]
    core.on_scheduler(run((2, {1: ME})))
    assert core.state.room.copies == {1: 10}
    put(core, 8)
    assert core.state.room.copies == {}
    assert violations(core.state) == []
    core.on_scheduler(Free([1]))
    assert violations(core.state) == []


def test_too_many_files_are_to_be_fewer_first() -> None:
    """Where several are to share one, no more are written before they do."""
    rules = MemoryRules(limit=100, spill=0, file_bytes_min=1, leaving_max=2, files_max=1)
    core = a_core(rules)
    assert put(core, *range(1, 12)) == [Spill([1, 2])]
    core.moved(1, TEN)
    assert after(core) == [Spill([3])]
    core.moved(2, TEN)
    core.moved(3, TEN)
    assert after(core) == []
    core.moved(1, TEN, shared=True)
    assert after(core) == [Spill([4])]
    assert violations(core.state) == []


def test_a_dead_runner_takes_its_values_with_it() -> None:
    """Those of the store stay, also on their way."""
    core = a_core()
    put(core, 1, 2)
    made(core, 1, 2, 3, 4, 5)
    assert core.state.room.leaving == {1: 10}
    made(core, 6, 7)
    assert core.state.room.leaving == {1: 10, 2: 10, 1001: 10}
    core.runner_died(1, [], {})
    core.flush()
    assert core.state.room.leaving == {1: 10, 2: 10}
    assert core.state.room.managed == 20
    assert violations(core.state) == []


@pytest.mark.parametrize("up", [True, False])
def test_all_is_forgotten(up: bool) -> None:
    """The cluster begins anew: nothing is anywhere, also on its way or in a file."""
    core = a_core()
    put(core, *range(1, 8))
    core.moved(1, b"on disk")
    put(core, 8)
    made(core, 1)
    if not up:
        core.runner_died(1, [], {})
    core.on_scheduler(Renew(3, forget=True))
    core.flush()
    assert violations(core.state) == []
    assert not core.state.room.remembers
    core.moved(2, b"on disk")
    assert len(core.state.store) == 0


def test_fetched_for_a_task() -> None:
    """What others have made takes memory as well."""
    core = a_core()
    core.on_scheduler(run((1, {5: "tcp://a:1"})))
    [ask] = after(core)
    assert isinstance(ask, FetchFrom)
    core.fetched(found(ask.serial, {5: TEN}))
    core.flush()
    assert core.state.room.here == {5: 10}


def test_without_a_limit_nothing_is_short() -> None:
    """Whatever is used."""
    core = new_core()
    core.runner_ready(1)
    core.flush()
    assert not core.heeds(1 << 60)
    core.uses(1 << 60, {1: 1 << 60}, 1.0)
    assert put(core, *range(100)) == []
    assert core.state.room.managed == 0


# ---------------------------------------------------------------- the process has too much


def test_too_much_in_the_process() -> None:
    """The runner writes new values to files, old ones go until it is as little as the target."""
    core = a_core()
    put(core, 1, 2, 3)
    assert look(core, 70) == []
    assert look(core, 75) == [ToRunner(1, [Pressure(2)]), Spill([1, 2])]
    core.moved(1, b"")
    core.moved(2, b"")
    after(core)
    assert look(core, 65) == [Spill([3])]
    core.moved(3, b"")
    after(core)
    assert look(core, 60) == [ToRunner(1, [Pressure(0)])]
    assert not core.heeds(70)


def test_a_new_runner_is_told_too() -> None:
    """It knows of nothing."""
    core = a_core()
    look(core, 75)
    core.runner_died(1, [], {})
    core.runner_ready(2)
    [scheduler, runner, _] = after(core)
    assert isinstance(scheduler, ToScheduler)
    assert runner == ToRunner(2, [Pressure(2)])


def test_where_nothing_can_be_written_the_runner_only_keeps_none() -> None:
    """It would try with every value."""
    core = a_core()
    put(core, 1)
    look(core, 75)
    core.unmoved(1, "no room", 1.0)
    assert after(core) == [ToRunner(1, [Pressure(1)])]


def test_results_that_are_in_files_at_once() -> None:
    """They take no memory from the beginning."""
    core = a_core()
    core.on_scheduler(run((1, {})))
    core.on_runner(1, Sealed([1], [1001], [-3], [b"on disk"]))
    core.on_runner(1, Done([1], [OK_HELD], [0.1], [10], [b""]))
    core.flush()
    assert core.state.room.managed == 0
    assert core.state.room.filed == {1001: 7}
    assert not core.state.room.born_filed
    assert violations(core.state) == []


def test_too_much_in_values_alone() -> None:
    """That is known before anybody looks."""
    core = a_core()
    [told] = made(core, *range(1, 9))
    assert told == ToRunner(1, [Pressure(2), Unload(1, [1001, 1002])])


# ---------------------------------------------------------------- pausing


def test_a_paused_worker_takes_nothing_new() -> None:
    """What has not begun goes back; what comes nevertheless, too; and then it goes on."""
    core = a_core()
    core.on_scheduler(run((1, {})))
    core.on_scheduler(run((2, {5: "tcp://a:1"})))
    core.flush()
    assert look(core, 81) == [
        ToScheduler([Returned([2]), Slots(0)]),
        ToRunner(1, [Pressure(2), Recall([1])]),
    ]
    core.on_scheduler(run((3, {})))
    assert after(core) == [ToScheduler([Returned([3])])]
    assert look(core, 76) == []
    assert look(core, 75) == [ToScheduler([Slots(2)])]
    core.on_scheduler(run((4, {})))
    assert core.state.runners[1].given.keys() == {1, 4}


def test_a_pause_that_would_be_for_ever() -> None:
    """Nothing runs, nothing can go to a file: one task after the other goes on."""
    core = a_core()
    assert look(core, 90, now=1.0)[0] == ToScheduler([Slots(0)])
    assert look(core, 90, now=1.0 + VAIN_S / 2) == []
    assert look(core, 90, now=1.0 + VAIN_S) == [ToScheduler([Slots(1)])]
    core.on_scheduler(run((1, {})))
    assert core.state.runners[1].given.keys() == {1}
    core.flush()
    assert look(core, 50, now=3.0) == [ToScheduler([Slots(2)]), ToRunner(1, [Pressure(0)])]


def test_a_pause_in_which_a_process_cannot_write_files() -> None:
    """It is not asked for ever, without a word from the scheduler: one task goes on, too."""
    core = a_core()
    asked = [*made(core, 1, nbytes=90), *look(core, 90, now=1000.0)]
    messages = [
        each for action in asked if isinstance(action, ToRunner) for each in action.messages
    ]
    [unload] = [each for each in messages if isinstance(each, Unload)]
    core.on_runner(1, Values(unload.serial, unload.tids, [ABSENT], [], [], last=True))
    core.flush()
    assert core.state.room.full
    assert not any(isinstance(a, ToScheduler) for a in look(core, 90, now=1000.1))
    assert look(core, 90, now=1000.1 + VAIN_S) == [ToScheduler([Slots(1)])]
    assert look(core, 90, now=1000.0 + FULL_S / 2) == []
    assert not core.state.room.leaving


@pytest.mark.parametrize("busy", ["running", "leaving"])
def test_a_pause_that_may_help(busy: str) -> None:
    """Something runs, or is on its way to a file."""
    core = a_core()
    if busy == "running":
        core.on_scheduler(run((1, {})))
    else:
        put(core, 1)
    for now in range(1, 10):
        look(core, 90, now=now)
    assert not core.state.room.one_by_one


def test_a_paused_worker_whose_runner_dies() -> None:
    """The next one has no slots either."""
    core = a_core()
    look(core, 85)
    core.runner_died(1, [], {})
    assert after(core) == [ToScheduler([RunnerDied([], [], [], {})]), StartRunner(2, 0.0)]
    core.runner_ready(2)
    assert not any(isinstance(each, ToScheduler) for each in after(core))  # it has none as before
    assert ToScheduler([Slots(2)]) in look(core, 10)


def test_a_paused_worker_serves() -> None:
    """Others get its values."""
    core = a_core()
    put(core, 1)
    look(core, 85)
    core.peer_joined(2, may_store=False)
    core.on_peer(2, RegisterPeer("x"))
    core.flush()
    core.on_peer(2, Fetch(4, [1]))
    assert after(core) == [ToPeer(2, [Values(4, [1], [FOUND], [], [TEN], last=True)])]
