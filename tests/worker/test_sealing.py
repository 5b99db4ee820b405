"""Results that outlive their runner, and who may still be reading them."""

from __future__ import annotations

import os
import sys

import pytest

from tests.worker.worker_driver import ME, after, ready_core, run
from trio_dask.comm import CARRIED_MAX
from trio_dask.messages import Handle, Part, Payload, part_of
from trio_dask.messages.sealing import Rewrite, Sealed, Unread
from trio_dask.messages.session import RegisterPeer
from trio_dask.messages.tasks import OK_HELD, STOPPED, Done, Free, RunnerDied, Slots
from trio_dask.messages.values import ABSENT, FOUND, Fetch, Give, Values
from trio_dask.store import Segment
from trio_dask.worker.core import StartRunner, Store, ToPeer, ToRunner, ToScheduler, WorkerCore
from trio_dask.worker.lending import Lending


def done(attempt: int, status: int = OK_HELD) -> Done:
    """The end of an attempt."""
    return Done([attempt], [status], [0.1], [100], [b""])


def core_with(*messages: Sealed | Done) -> WorkerCore:
    """A worker whose runner was given attempt 1 and has said this."""
    core = ready_core()
    core.on_scheduler(run((1, {})))
    for message in messages:
        core.on_runner(1, message)
    after(core)
    return core


SEALED = Sealed([1], [1001], [5], [b"value"])


def test_a_sealed_value_outlives_its_runner() -> None:
    """It is not lost, and the next runner is given it."""
    core = core_with(SEALED, done(1))
    core.runner_died(1, [], {})
    assert after(core) == [
        ToScheduler([Slots(0), RunnerDied([], [], [], {})]),
        StartRunner(2, 0.0),
    ]
    core.runner_ready(2)
    core.on_scheduler(run((2, {}), fid=7))
    after(core)
    core.peer_joined(1, may_store=False)
    core.on_peer(1, Fetch(4, [1001]))
    assert after(core) == [ToPeer(1, [Values(4, [1001], [FOUND], [], [b"value"], last=True)])]
    core.on_scheduler(Free([1001]))
    assert len(core.state.store) == 0


@pytest.mark.parametrize("status", [STOPPED, None])
def test_what_did_not_end_well_is_not_kept(status: int | None) -> None:
    """It was stopped after all, or its runner died in between."""
    core = core_with(SEALED)
    if status is None:
        core.runner_died(1, [1], {})
    else:
        core.on_runner(1, done(1, status))
    after(core)
    assert (
        len(core.state.store)
        == len([each.sealed for each in core.state.runners.values() if each.sealed])
        == 0
    )


def test_what_nobody_asked_for_is_not_kept() -> None:
    """Runners are users' code: values of attempts they do not have, of tasks they do not hold."""
    wrong = Sealed([1, 2, 0], [1002, 1002, 1003], [1, 2, 3], [b"a", b"b", b"c"])
    core = core_with(wrong, done(1))
    assert (
        len(core.state.store)
        == len([each.sealed for each in core.state.runners.values() if each.sealed])
        == 0
    )


def test_sealed_because_others_need_it() -> None:
    """From then on it is the worker's to give."""
    core = core_with(done(1))
    core.peer_joined(1, may_store=False)
    core.on_peer(1, RegisterPeer("x"))
    core.on_peer(1, Fetch(4, [1001]))
    asked = next(each for each in after(core) if isinstance(each, ToRunner)).messages[0]
    assert isinstance(asked, Fetch)
    core.on_runner(1, Sealed([0], [1001], [5], [b"value"]))
    core.on_runner(1, Values(asked.serial, [1001], [ABSENT], [], [], last=True))
    assert after(core) == [ToPeer(1, [Values(4, [1001], [FOUND], [], [b"value"], last=True)])]
    assert core.state.store.holds("me", 1001)
    assert core.state.address == ME


# ---------------------------------------------------------------- who reads

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")


def segment() -> Segment:
    """A value."""
    return Segment(os.memfd_create("value"), 0)


@linux
def test_written_again_after_the_last_reader() -> None:
    """Its maker, somebody it was given to, and the store: the last one counts."""
    maker, other = Lending(), Lending()
    value = segment()
    maker.sealed(Sealed([1], [1001], [5], [value]))
    other.given([Give([1001], [value])])
    maker.unread(Unread([5], [1], [1]))
    del value
    assert maker.news() == []
    other.unread(Unread([1], [0], [1]))
    assert maker.news() == [Rewrite([5], [1])]
    assert maker.news() == []
    assert len(maker) == len(other) == 0


@linux
def test_not_written_again_where_a_fork_may_read() -> None:
    """What children read nobody tells."""
    lending = Lending()
    lending.sealed(Sealed([1], [1001], [5], [segment()]))
    lending.unread(Unread([5], [1], [0]))
    assert lending.news() == [Rewrite([5], [0])]


@linux
def test_the_dead_read_nothing() -> None:
    """Neither are they told anything."""
    dead, other = Lending(), Lending()
    mine, theirs = segment(), segment()
    other.sealed(Sealed([0], [7], [1], [theirs]))
    dead.sealed(Sealed([1], [1001], [5], [mine]))
    dead.given([Give([7], [theirs])])
    del theirs
    dead.end()
    del mine
    assert dead.news() == []
    assert other.news() == [Rewrite([1], [1])]


@linux
def test_nonsense_changes_nothing() -> None:
    """What was never lent cannot be given back, nor twice."""
    lending = Lending()
    value = segment()
    lending.given([Give([1], [value]), Give([1], [value])])
    lending.unread(Unread([1, 3, 0, -1, 1], [0, 0, 0, 0, 1], [1] * 5))
    assert len(lending) == 1
    lending.unread(Unread([1, 2], [0, 0], [1, 1]))
    assert len(lending) == 0


@linux
def test_each_is_read_for_itself() -> None:
    """A task's value that was made anew is not written over, because the old one is done with."""
    maker, reader = Lending(), Lending()
    for number in (5, 6):
        value = segment()
        maker.sealed(Sealed([0], [1001], [number], [value]))
        reader.given([Give([1001], [value])])
        del value
    assert maker.news() == []
    reader.unread(Unread([1], [0], [1]))
    assert maker.news() == [Rewrite([5], [1])]
    reader.unread(Unread([2], [0], [1]))
    assert maker.news() == [Rewrite([6], [1])]


@linux
def test_no_more_descriptors_than_there_is_room_for() -> None:
    """Many values at a time are given in several messages."""
    lending, value = Lending(), segment()
    count = 2 * CARRIED_MAX + 3
    parts = lending.given([Give(list(range(count)), [value] * count)])
    assert [len(each.tids) for each in parts if isinstance(each, Give)] == [
        CARRIED_MAX, CARRIED_MAX, 3,
    ]  # fmt: skip
    assert len(lending) == count


@linux
def test_a_runner_reads_only_so_many_as_descriptors() -> None:
    """Others come to it as bytes, until it has let go of some."""
    lending = Lending(given_max=2)
    values: list[Payload] = [segment() for _ in range(4)]
    [give] = lending.given([Give([1, 2, 3], values[:3])])
    assert isinstance(give, Give)
    kinds = [type(each) for each in give.payloads]
    assert kinds == [Segment, Segment, Part]
    lending.unread(Unread([1], [0], [1]))
    [give] = lending.given([Give([4], values[3:])])
    assert isinstance(give, Give)
    assert give.payloads == values[3:]


def test_files_are_counted() -> None:
    """One that is shared by many counts once, as long as one of them is there."""
    store, whole, alone = Store(), Handle(), Handle()
    whole.fd, whole.nbytes, alone.fd, alone.nbytes = -1, 100, -1, 10
    store.put("me", 1, b"in memory")
    for tid in (2, 3):
        store.put("me", tid, part_of(whole, 10 * tid, 10), filed=True)
    store.put("me", 4, alone, filed=True)
    assert store.files == 2
    store.replace(1, part_of(whole, 50, 9))
    store.replace(4, part_of(whole, 60, 10))
    assert store.files == 1
    for tid in (1, 2, 3):
        store.release("me", tid)
    assert store.files == 1
    store.leave("me")
    assert (store.files, store.filed_bytes) == (0, 0)
