"""How much of others' values is on its way to a process: the decisions, without a process."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from tests.worker.fake_scheduler import KEYS
from tests.worker.worker_driver import ME, A, B, absent, after, found, ready_core, run
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.fleet import Copy
from trio_dask.messages.nested import NestedFetch
from trio_dask.messages.session import Welcome
from trio_dask.messages.tasks import OK_INLINE, Done
from trio_dask.worker.core import Action, FetchFrom, Store, WorkerCore
from trio_dask.worker.core.invariants import violations
from trio_dask.worker.worker import Worker

MIB = 1 << 20
OTHER = "tcp://me:2"


def bounded(bytes_max: int = 10 * MIB) -> WorkerCore:
    """A core to whose process so much may be on its way."""
    core = ready_core()
    core.state.store.inwards.bytes_max = bytes_max
    return core


def neighbour(core: WorkerCore) -> WorkerCore:
    """Another worker of the same process."""
    other = WorkerCore("other", OTHER, 1, core.state.store)
    other.flush()
    other.runner_ready(1)
    other.on_scheduler(Welcome(2, "c", 1))
    other.flush()
    return other


def copies(*rows: tuple[int, int], place: str = A) -> Copy:
    """Values that are to be held, with their sizes."""
    large = [each for tid, nbytes in rows if nbytes for each in (tid, nbytes)]
    return Copy([tid for tid, _ in rows], [0] * len(rows), [place], large)


def fetches(core: WorkerCore) -> list[Action]:
    """What is asked for now; all rules hold then."""
    actions = [each for each in after(core) if isinstance(each, FetchFrom)]
    assert violations(core.state) == []
    return list(actions)


def test_no_more_than_the_bound_is_asked_for() -> None:
    """Large values come one after the other, whoever has them; the first in line are first."""
    core = bounded()
    core.on_scheduler(copies((1, 6 * MIB), (2, 4 * MIB), (3, MIB)))
    core.on_scheduler(copies((4, 3 * MIB), place=B))
    assert fetches(core) == [FetchFrom(A, 1, [1, 2])]
    core.fetched(found(1, {2: b"v"}, last=False))
    assert fetches(core) == [FetchFrom(A, 2, [3]), FetchFrom(B, 3, [4])]
    core.fetched(found(1, {1: b"v"}))
    core.fetched(found(2, {3: b"v"}))
    core.fetched(found(3, {4: b"v"}))
    assert fetches(core) == []
    assert core.state.store.inwards.nbytes == 0


def test_small_values_do_not_wait() -> None:
    """Whatever is on its way, and whatever is in line."""
    core = bounded()
    core.on_scheduler(copies((1, 9 * MIB), (2, 9 * MIB)))
    assert fetches(core) == [FetchFrom(A, 1, [1])]
    core.on_scheduler(copies((3, 0)))
    core.on_scheduler(run((1, {4: B})))
    assert fetches(core) == [FetchFrom(A, 2, [3]), FetchFrom(B, 3, [4])]


def test_one_value_that_is_larger_passes_alone() -> None:
    """It waits until nothing else is on its way, and what came after it until it has come."""
    core = bounded()
    core.on_scheduler(copies((1, MIB), (2, 50 * MIB), (3, MIB)))
    assert fetches(core) == [FetchFrom(A, 1, [1])]
    core.fetched(found(1, {1: b"v"}))
    assert fetches(core) == [FetchFrom(A, 2, [2])]
    core.fetched(found(2, {2: b"v"}))
    assert fetches(core) == [FetchFrom(A, 3, [3])]


def test_inputs_of_tasks_are_bounded_too() -> None:
    """A task begins when its last input has come, however long that was in line."""
    core = bounded()
    message = run((1, {1: A, 2: A}))
    message.large = [1, 8 * MIB, 2, 8 * MIB]
    core.on_scheduler(message)
    assert fetches(core) == [FetchFrom(A, 1, [1])]
    core.fetched(found(1, {1: b"v"}))
    assert fetches(core) == [FetchFrom(A, 2, [2])]
    core.fetched(found(2, {2: b"v"}))
    assert fetches(core) == []
    assert core.books()["in_runner"] == 1


def test_values_for_clients_in_tasks_are_bounded_too() -> None:
    """They wait in the same line; what is small does not, nor what the task has asked for in vain."""
    core = bounded()
    core.on_scheduler(run((1, {}), (2, {})))
    core.flush()
    core.on_scheduler(copies((1, 8 * MIB)))
    core.on_runner(1, NestedFetch(1, 1, B, [2, 3], [2, 8 * MIB]))
    core.on_runner(1, NestedFetch(2, 1, B, [4], [4, 8 * MIB]))
    core.on_scheduler(copies((5, 8 * MIB)))
    assert fetches(core) == [FetchFrom(A, 3, [1]), FetchFrom(B, 4, [3])]
    core.on_runner(1, Done([2], [OK_INLINE], [0.1], [1], [b"v"]))
    core.fetched(found(3, {1: b"v"}))
    assert fetches(core) == [FetchFrom(B, 5, [2])]
    core.fetched(found(4, {3: b"v"}))
    core.fetched(found(5, {2: b"v"}))
    assert fetches(core) == [FetchFrom(A, 6, [5])]
    assert core.books()["nested"] == 1


def test_what_nobody_wants_any_more_is_not_asked_for() -> None:
    """A value in line whose task cannot run gives its place to the next."""
    core = bounded()
    message = run((1, {1: A, 2: A}))
    message.large = [1, 8 * MIB, 2, 8 * MIB]
    core.on_scheduler(message)
    core.on_scheduler(copies((3, 8 * MIB)))
    assert fetches(core) == [FetchFrom(A, 1, [1])]
    core.fetched(absent(1, 1))
    assert fetches(core) == [FetchFrom(A, 2, [3])]
    assert core.books()["wants"] == 1


def test_a_value_keeps_its_place_while_others_are_asked() -> None:
    """The next holder is asked at once; when the last one has failed the room is free."""
    core = bounded()
    core.on_scheduler(copies((1, 8 * MIB), place=f"{A} {B}"))
    core.on_scheduler(copies((2, 8 * MIB)))
    assert fetches(core) == [FetchFrom(A, 1, [1])]
    core.fetch_failed(A)
    assert fetches(core) == [FetchFrom(B, 2, [1])]
    core.fetch_failed(B)
    assert fetches(core) == [FetchFrom(A, 3, [2])]


def test_the_workers_of_a_process_share_the_bound() -> None:
    """First come, first served among them, too; whose turn it is is to be flushed."""
    core = bounded()
    other = neighbour(core)
    inwards = core.state.store.inwards
    core.on_scheduler(copies((1, 8 * MIB)))
    assert fetches(core) == [FetchFrom(A, 1, [1])]
    other.on_scheduler(copies((2, 8 * MIB)))
    core.on_scheduler(copies((3, 8 * MIB)))
    assert fetches(other) == fetches(core) == []
    assert inwards.next_due() is None
    core.fetched(found(1, {1: b"v"}))
    core.flush()
    assert (inwards.next_due(), inwards.next_due()) == (OTHER, None)
    (asked,) = fetches(other)
    assert isinstance(asked, FetchFrom)
    assert asked.tids == [2]
    assert violations(core.state) == []


def two_workers() -> tuple[Worker, Worker]:
    """The shells of two workers of a process, of which the first is getting a large value."""
    core = bounded()
    cores = core, neighbour(core)
    scheduler: Any = SimpleNamespace(send=lambda *_: None, queued_bytes=0)
    neighbours: dict[str, Worker] = {}
    one, other = (Worker(each, scheduler, KEYS, neighbours) for each in cores)
    for worker, tid in ((one, 1), (other, 2)):
        worker.open_for_neighbours()
        worker.core.on_scheduler(copies((tid, 8 * MIB)))
        worker.perform()
    assert one.core.fetching_from() == [A]
    assert other.core.fetching_from() == []
    return one, other


def test_the_next_one_is_woken() -> None:
    """Nothing happens to a worker whose turn it is: it is its neighbour that has it go on."""
    one, other = two_workers()
    one.core.fetched(found(1, {1: b"v"}))
    one.perform()
    assert other.core.fetching_from() == [A]


def test_the_next_one_is_woken_when_the_first_ends() -> None:
    """A worker that ends has its neighbours go on, too, and is woken itself no more."""
    one, other = two_workers()
    one.core.on_scheduler(copies((3, 8 * MIB)))
    one.perform()
    one.close_for_neighbours()
    one.core.leave()
    one.wake_neighbours()
    assert other.core.fetching_from() == [A]
    other.core.fetched(found(1, {2: b"v"}))
    other.perform()
    assert other.core.state.store.inwards.nbytes == 0


def test_a_worker_that_ends_makes_room() -> None:
    """What it wanted, or had in line, keeps its neighbours waiting no longer."""
    core = bounded()
    other = neighbour(core)
    other.on_scheduler(copies((1, 8 * MIB), (2, 8 * MIB)))
    other.flush()
    core.on_scheduler(copies((3, 8 * MIB)))
    assert fetches(core) == []
    other.leave()
    assert core.state.store.inwards.next_due() == ME
    assert fetches(core) == [FetchFrom(A, 1, [3])]


def test_without_a_bound() -> None:
    """With 0 all of it is asked for at once."""
    core = bounded(0)
    core.on_scheduler(copies((1, 900 * MIB), (2, 900 * MIB)))
    assert fetches(core) == [FetchFrom(A, 1, [1, 2])]


@pytest.mark.parametrize("large", [[1], [1, -5]])
def test_sizes_that_make_no_sense(large: list[int]) -> None:
    """They are refused, and nothing has changed."""
    core = bounded()
    message = run((1, {1: A}))
    message.large = large
    with pytest.raises(RemoteProtocolError):
        core.on_scheduler(message)
    with pytest.raises(RemoteProtocolError, match="sizes"):
        core.on_scheduler(Copy([1], [0], [A], large))
    assert after(core) == []
    core.on_scheduler(run((1, {})))
    core.flush()
    with pytest.raises(RemoteProtocolError, match="sizes"):
        core.on_runner(1, NestedFetch(1, 1, A, [1], large))
    assert after(core) == []


def test_the_store_has_the_bound() -> None:
    """It is what the workers of a process have in common."""
    assert Store(5).inwards.bytes_max == 5
