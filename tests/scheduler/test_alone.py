"""What ran out of memory is tried once more, alone on its worker, and then given up."""

from __future__ import annotations

import pytest

from tests.scheduler.conftest import Driver
from trio_dask.errors import KilledWorker
from trio_dask.messages import nested, tasks as words
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core import state as st

A, B, CLIENT = 10, 11, 1
OOM = {"signal": 9, "oom": True, "reason": "killed by SIGKILL for want of memory"}


def starve(cluster: Driver, peer: int, running: list[int], queued: list[int] | None = None) -> None:
    """The runner of the worker is killed for want of memory; another takes over."""
    cluster.tell(peer, words.Slots(0))
    cluster.tell(peer, words.RunnerDied(running, queued or [], [], OOM))
    cluster.tell(peer, words.Slots(2))


def tids(run: words.Run) -> list[int]:
    """Which tasks these are."""
    return run.tids


@pytest.fixture
def starved() -> Driver:
    """Task `first` was killed for want of memory on A, which has two slots; two others run there now."""
    cluster = Driver(allowed_failures=0)
    first = cluster.client()
    cluster.worker(A, 2)
    cluster.submit(first + 1, [b"x", b"y", b"z"], priority=1)
    cluster.submit(first, [b"hungry"])
    run = cluster.run(A)
    assert tids(run) == [first + 1, first + 2, first + 3]
    cluster.done(A, words.Run(run.attempts[:1], *[[]] * 10))
    more = cluster.run(A)
    assert tids(more) == [first]
    starve(cluster, A, more.attempts, run.attempts[1:])
    return cluster


def first_of(cluster: Driver) -> int:
    """The id of the task that ran out of memory."""
    (tid,) = cluster.core.state.deaths
    return tid


def test_it_waits_until_nothing_else_runs(starved: Driver) -> None:
    """What has not begun is asked back, what runs may end; then it is there, and nothing beside it."""
    first = first_of(starved)
    run = starved.run(A)
    assert tids(run) == [first + 2, first + 3], "what is more urgent comes first"
    starved.submit(first + 9, [b"later"])
    assert starved.heard(A) == [words.Recall(run.attempts)]
    starved.done(A, words.Run(run.attempts[:1], *[[]] * 10))
    assert starved.heard(A) == []
    starved.done(A, words.Run(run.attempts[1:], *[[]] * 10))
    alone = starved.run(A)
    assert tids(alone) == [first]
    starved.tick(1000)
    assert starved.heard(A) == []
    starved.done(A, alone)
    assert tids(starved.run(A)) == [first + 9]
    assert not starved.core.state.kept


def test_the_second_time_it_fails(starved: Driver) -> None:
    """With a message that says so, and both certificates; `allowed-failures` has no say in it."""
    first = first_of(starved)
    starved.done(A, starved.run(A))
    alone = starved.run(A)
    starved.heard(CLIENT)
    starve(starved, A, alone.attempts)
    (failed,) = starved.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    assert failed.tids == [first]
    error = rebuild(Failure.from_bytes(failed.failures[0]))
    assert isinstance(error, KilledWorker)
    assert "ran out of memory, also when nothing else ran on its worker" in str(error)
    assert str(error).count("for want of memory") == 2
    assert [death["oom"] for death in error.deaths] == [True, True]


def test_another_death_alone_is_blamed_as_ever() -> None:
    """It was no want of memory this time."""
    cluster = Driver(allowed_failures=1)
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"hungry"])
    starve(cluster, A, cluster.run(A).attempts)
    for _ in range(2):
        assert cluster.heard(CLIENT) == []
        (run,) = [each for each in cluster.heard(A) if isinstance(each, words.Run)]
        cluster.tell(A, words.Slots(0))
        cluster.tell(A, words.RunnerDied(run.attempts, [], [], {"signal": 11}))
        cluster.tell(A, words.Slots(1))
    (failed,) = cluster.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    assert "each of the 3 times" in Failure.from_bytes(failed.failures[0]).message


def test_an_empty_worker_is_better(starved: Driver) -> None:
    """One that joins while another is being emptied takes it; the other goes on as before."""
    first = first_of(starved)
    run = starved.run(A)
    starved.done(A, words.Run(run.attempts[:1], *[[]] * 10))
    assert starved.core.state.kept
    starved.submit(first + 9, [b"later"])
    starved.worker(B)
    assert tids(starved.run(B)) == [first]
    assert first + 9 in [
        tid for each in starved.heard(A) if isinstance(each, words.Run) for tid in each.tids
    ]


@pytest.mark.parametrize("how", ["left", "no runner"])
def test_its_worker_is_gone(starved: Driver, how: str) -> None:
    """It goes elsewhere, be it on its way or there."""
    first = first_of(starved)
    starved.done(A, starved.run(A))
    alone = starved.run(A)
    starved.worker(B)
    if how == "left":
        starved.leave(A)
    else:
        starved.tell(A, words.Slots(0))
        starved.tell(A, words.RunnerDied([], alone.attempts, [], {}))
    assert tids(starved.run(B)) == [first]


@pytest.mark.parametrize("how", ["release", "cancel"])
def test_it_is_not_wanted_any_more(starved: Driver, how: str) -> None:
    """The worker that was kept for it works again."""
    first = first_of(starved)
    run = starved.run(A)
    starved.done(A, words.Run(run.attempts[:1], *[[]] * 10))
    starved.tell(
        CLIENT, words.Release([first]) if how == "release" else words.Cancel([first], "test")
    )
    assert not starved.core.state.kept
    starved.submit(first + 9, [b"later"])
    runs = [each for each in starved.heard(A) if isinstance(each, words.Run)]
    assert runs[-1].tids == [first + 9]


def test_what_is_more_urgent_goes_first(starved: Driver) -> None:
    """A worker is not emptied, nor kept empty, while something of higher priority may run there."""
    first = first_of(starved)
    run = starved.run(A)
    starved.done(A, words.Run(run.attempts[:1], *[[]] * 10))
    starved.heard(A)
    starved.submit(first + 9, [b"urgent"], priority=5)
    assert tids(starved.run(A)) == [first + 9]


def test_it_goes_where_it_may(starved: Driver) -> None:
    """Restrictions, and inputs that cannot be moved, hold for it as for any other."""
    cluster = Driver()
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B, resources={"GPU": 1})
    cluster.submit(first, [b"hungry"], resources={"GPU": 1})
    run = cluster.run(B)
    starve(cluster, B, run.attempts)
    assert tids(cluster.run(B)) == [first]
    assert cluster.heard(A) == []


def test_it_goes_to_what_cannot_be_moved() -> None:
    """Its input is bound to a worker: it waits for that one, though another is empty."""
    cluster = Driver()
    first = cluster.client()
    a = cluster.worker(A)
    cluster.submit(first, [b"source"])
    cluster.done(A, cluster.run(A), None)
    cluster.worker(B)
    cluster.submit(first + 1, [b"hungry"], [[first]])
    run = cluster.run(A)
    cluster.tell(A, words.Pinned(run.attempts, [first], [a], [b"why"]))
    run = cluster.run(A)
    cluster.submit(first + 2, [b"beside"], [[first]])
    cluster.tell(A, words.Slots(0))
    cluster.tell(A, words.RunnerDied(run.attempts, cluster.run_of(A), [], OOM))
    cluster.tell(A, words.Slots(1))
    assert tids(cluster.run(A)) == [first + 1]
    assert cluster.heard(B) == []
    state = cluster.core.state
    assert state.tasks[first + 2].state == st.READY


def test_who_waits_for_it_is_not_in_its_way() -> None:
    """Its parent is in the window of the only worker, without a slot, until it has ended."""
    cluster = Driver()
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"parent"])
    (parent,) = cluster.run(A).attempts
    cluster.tell(A, nested.Parked([parent], [1]))
    cluster.submit(first + 1, [b"hungry"])
    starve(cluster, A, cluster.run(A).attempts)
    assert tids(cluster.run(A)) == [first + 1]


def test_when_it_waits_itself_others_run() -> None:
    """It may be what it waits for."""
    cluster = Driver()
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"hungry"])
    starve(cluster, A, cluster.run(A).attempts)
    (alone,) = cluster.run(A).attempts
    cluster.submit(first + 1, [b"child"])
    assert cluster.heard(A) == []
    cluster.tell(A, nested.Parked([alone], [1]))
    assert tids(cluster.run(A)) == [first + 1]


def test_the_first_of_them_goes_first() -> None:
    """A worker that is being emptied for one is for another that has become ready and comes before it."""
    cluster = Driver()
    first = cluster.client()
    cluster.worker(A, 2)
    cluster.submit(first, [b"source"])
    cluster.done(A, cluster.run(A), None)
    cluster.submit(first + 1, [b"hungry"], [[first]])
    cluster.submit(first + 2, [b"hungry, too"])
    running = cluster.run_of(A)
    cluster.tell(A, words.Slots(0))
    cluster.tell(A, words.RunnerDied(running, [], [first], OOM))
    cluster.tell(A, words.Slots(2))
    source = cluster.run(A)
    assert tids(source) == [first]
    cluster.tick(0.1)  # now it is being emptied for the other
    cluster.heard(A)
    cluster.done(A, source, None)
    for tid in (first + 1, first + 2):
        run = cluster.run(A)
        assert tids(run) == [tid]
        cluster.done(A, run)
