"""What concerns very many tasks is done in turns, between which anything may happen."""

from __future__ import annotations

import pytest

from tests.scheduler.conftest import Driver
from trio_dask.messages import session, tasks as words
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.invariants import check

CLIENT, A, B = 1, 10, 11
MANY = 200
TURN = 7


@pytest.fixture
def slow() -> Driver:
    """A core that does little at a time."""
    return Driver(turn_max=TURN)


def turn(cluster: Driver) -> None:
    """One turn, in which the books are right."""
    assert cluster.core.busy
    assert cluster.core.work() == []
    for peer, messages in cluster.core.flush():
        cluster.said[peer] += messages
    check(cluster.core.state)


def all_turns(cluster: Driver) -> int:
    """As many as it takes; how many."""
    turns = 0
    while cluster.core.busy:
        turn(cluster)
        turns += 1
    return turns


def chain(cluster: Driver, first: int) -> list[int]:
    """A chain of which only the end is wanted."""
    deps: list[list[int]] = [[], *([first + row] for row in range(MANY - 1))]
    tids = cluster.submit(first, [b"x"] * MANY, deps)
    cluster.tell(CLIENT, words.Release(tids[:-1]))
    return tids


def wide(cluster: Driver, first: int) -> list[int]:
    """Very many that need the first."""
    return cluster.submit(first, [b"x"] * MANY, [[], *([first] for _ in range(MANY - 1))])


def test_what_is_to_be_forgotten_may_be_wanted_again(slow: Driver) -> None:
    """Its worker is lost after it was let go of, and looking at it is put off: it rests meanwhile."""
    first = slow.client()
    slow.worker(A)
    slow.submit(first, [b"x"], keys=["k"])
    slow.run(A)
    slow.tell(CLIENT, words.Release([first]))
    slow.core.state.pace.left = 0
    slow.core.left(A, "it died")
    assert slow.core.state.pace.unsettled
    check(slow.core.state)
    slow.submit(first + 1, [b"x"], keys=["k"])
    slow.worker(B)
    assert slow.run(B).tids == [first]


def test_a_chain_is_released_in_turns(slow: Driver) -> None:
    """What nobody needs any more waits for its turn, in which it is forgotten."""
    tids = chain(slow, slow.client())
    slow.core.handle(CLIENT, words.Release(tids[-1:]), 0.0)
    assert len(slow.core.state.tasks) > MANY - 2 * TURN
    assert all_turns(slow) >= MANY // TURN - 1
    assert slow.at_rest()


def test_what_is_wanted_again_meanwhile_stays(slow: Driver) -> None:
    """A chain is half forgotten when somebody wants one of its tasks."""
    tids = chain(slow, slow.client())
    slow.core.handle(CLIENT, words.Release(tids[-1:]), 0.0)
    turn(slow)
    (middle,) = slow.submit(tids[-1] + 1, [b"x"], [[tids[50]]])
    all_turns(slow)
    assert set(slow.core.state.tasks) == {*tids[:51], middle}


def test_a_failure_is_spread_in_turns(slow: Driver) -> None:
    """Everybody who needs it is told in the end, and nobody twice."""
    tids = wide(slow, slow.client())
    slow.worker(A)
    slow.heard(CLIENT)
    (attempt,) = slow.run_of(A)
    bad = words.Done([attempt], [words.ERROR], [0.1], [0], [b"oops"])
    slow.core.handle(A, bad, 0.0)
    assert sum(task.state == st.FAILED for task in slow.core.state.tasks.values()) <= TURN + 1
    turn(slow)
    slow.core.handle(CLIENT, words.Release(tids[100:]), 0.0)  # some lose interest meanwhile
    all_turns(slow)
    told = [
        tid for each in slow.heard(CLIENT) if isinstance(each, words.Failed) for tid in each.tids
    ]
    assert sorted(set(told)) == sorted(told)
    assert set(told) >= set(tids[:100])


def test_those_who_wait_for_one_input_are_ready_in_turns(slow: Driver) -> None:
    """A few at a time, and at a worker in the order in which they came."""
    tids = wide(slow, slow.client())
    slow.worker(A)
    (attempt,) = slow.run_of(A)
    slow.core.handle(A, words.Done([attempt], [words.OK_HELD], [1e-6], [9], [b""]), 0.0)
    ready = [task for task in slow.core.state.tasks.values() if task.state == st.READY]
    assert len(ready) <= TURN
    all_turns(slow)
    given = [task.tid for task in slow.core.state.workers["tcp://host:10"].window.values()]
    assert given == tids[1:]


def test_an_input_that_is_lost_meanwhile_is_awaited_again(slow: Driver) -> None:
    """Its worker leaves when half of those that need it are ready."""
    tids = wide(slow, slow.client())
    slow.worker(A)
    (attempt,) = slow.run_of(A)
    slow.core.handle(A, words.Done([attempt], [words.OK_HELD], [1e-6], [9], [b""]), 0.0)
    turn(slow)
    slow.core.left(A, "it died")
    all_turns(slow)
    states = [slow.core.state.tasks[tid].state for tid in tids]
    assert states == [st.READY, *[st.WAITING] * (MANY - 1)]


def test_many_workers_are_given_work_in_turns(slow: Driver) -> None:
    """All of them have something in the end, and are asked for nothing twice."""
    tids = slow.submit(slow.client(), [b"x"] * MANY)
    for peer in range(A, A + 20):
        joined = session.RegisterWorker(f"w{peer}", f"tcp://host:{peer}", 1, 0, {}, {})
        slow.core.worker_joined(peer, joined, 0.0)
    slow.core.flush()
    given = sum(len(worker.window) for worker in slow.core.state.workers.values())
    assert given <= TURN
    all_turns(slow)
    assert all(len(worker.window) == 2 for worker in slow.core.state.workers.values())
    assert len(slow.core.state.anywhere.queue) == len(tids) - 40


@pytest.mark.parametrize("message", ["cancel", "keep", "want"])
def test_long_messages_are_read_in_slices(message: str) -> None:
    """Also those that are answered at once for each row."""
    cluster = Driver()
    first = cluster.client()
    tids = cluster.submit(first, [b"x"] * 3000)
    said = {
        "cancel": words.Cancel(tids, "no more"),
        "keep": words.Keep(tids),
        "want": words.Want([tid + 5000 for tid in tids], tids),
    }[message]
    cluster.core.handle(CLIENT, said, 0.0)
    assert cluster.core.busy
    cluster.settle()
    assert cluster.core.busy is False


def test_a_worker_is_found_by_those_who_name_it(cluster: Driver) -> None:
    """By name or by address, however many others are named; and others only if they may."""
    first = cluster.client()
    for number in range(50):
        cluster.submit(first + number, [b"x"], workers=[f"w{100 + number}"])
    by_name = cluster.submit(first + 50, [b"x"], workers=["w10"])
    by_address = cluster.submit(first + 51, [b"x"], workers=["tcp://host:10", "w10"])
    cluster.worker(A)
    assert cluster.run(A).tids == by_name + by_address
    anybody = cluster.submit(first + 52, [b"x"], workers=["w99"], allow_other_workers=True)
    cluster.worker(B)
    assert cluster.run(B).tids == anybody
    cluster.tell(CLIENT, words.Release(list(range(first, first + 53))))
    cluster.tick(1.0)
    state = cluster.core.state
    assert not state.restricted
    assert not state.named
    assert not state.unnamed


def test_others_may_when_who_was_named_has_left(cluster: Driver) -> None:
    """Without anything else having happened to them."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"x"] * 4, workers=["w10"], allow_other_workers=True)
    cluster.run(A)
    assert not cluster.run_of(B)
    cluster.leave(A)
    assert len(cluster.run_of(B)) == 2
