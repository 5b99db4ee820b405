"""Workers that are to leave: nothing is given to them, and nothing that only they have is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import session, tasks as words
from trio_dask.messages.fleet import Copy, Dismiss, Farewell, Leave, Uncopied
from trio_dask.scheduler.core import draining

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, A, B, C = 1, 10, 11, 12


def held(cluster: Driver, first: int, count: int = 1) -> None:
    """Worker A, which is alone, makes and holds values."""
    cluster.submit(first, [b"a"] * count)
    for _ in range(count):
        run = cluster.run_last(A)
        cluster.done(A, run, None)
        if len(cluster.core.state.workers[f"tcp://host:{A}"].held) == count:
            break
    cluster.heard(A)


def leave(cluster: Driver, peer: int = A, *, at_once: bool = False) -> None:
    """The worker says that it is to leave."""
    cluster.tell(peer, Leave("SIGTERM received", at_once))


def retire(cluster: Driver, **params: Any) -> None:
    """The client retires workers."""
    cluster.tell(CLIENT, session.Ask(7, "retire_workers", params))


def answer(cluster: Driver) -> session.Answer:
    """What the client was answered."""
    (found,) = [each for each in cluster.heard(CLIENT) if isinstance(each, session.Answer)]
    return found


def test_who_has_nothing_goes_at_once(cluster: Driver) -> None:
    """And gets nothing any more."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    leave(cluster)
    assert cluster.heard(A) == [Farewell(0, 0, 0, 0)]
    cluster.submit(first, [b"a"] * 4)
    assert cluster.heard(A) == []
    assert len(cluster.run(B).attempts) == 2


def test_nothing_is_given_to_who_is_to_leave(cluster: Driver) -> None:
    """Not when slots become free, a runner is there, or tasks name it and others will do."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"a"] * 4)
    run = cluster.run_last(A)
    leave(cluster)
    cluster.tell(A, words.Slots(4))
    cluster.tell(A, words.Returned(run.attempts[1:]))
    cluster.submit(first + 4, [b"a"] * 4)
    cluster.submit(first + 8, [b"a"], workers=[a], allow_other_workers=True)
    assert cluster.heard(A) == []
    cluster.done(A, words.Run(run.attempts[:1], [], [], [], [], [], [], [], [], [], []))
    assert cluster.heard(A) == [Farewell(0, 0, 0, 0)]
    assert first + 8 in [t.tid for t in cluster.core.state.tasks.values() if t.state in (2, 3)]


def test_what_comes_back_runs_elsewhere_and_nobody_is_blamed(cluster: Driver) -> None:
    """Also what was interrupted because its time was up."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"] * 2)
    run = cluster.run(A)
    cluster.worker(B)
    leave(cluster)
    cluster.tell(A, words.Returned(run.attempts[1:]))
    other = cluster.run(B)
    assert other.tids == [first + 1]
    cluster.tell(
        A, words.Done(run.attempts[:1], [words.STOPPED], [0.1], [0], [b""])
    )  # fmt: skip
    cluster.done(B, other)
    assert cluster.run(B).tids == [first]
    assert cluster.heard(A) == [Farewell(0, 0, 0, 0)]
    assert cluster.core.state.deaths == {}


def test_only_copies_move_and_scattered_data_first(cluster: Driver) -> None:
    """What somebody who stays holds as well need not; then what is small."""
    first = cluster.client()
    a = cluster.worker(A)
    held(cluster, first, 2)
    cluster.tell(CLIENT, words.Put([first + 5], [100], [], False))
    cluster.tell(A, words.Stored([first + 5], [100]))
    cluster.worker(B)
    cluster.tell(B, words.Replicas([first]))
    leave(cluster)
    assert cluster.heard(B) == [Copy([first + 5, first + 1], [0, 0], [a])]
    assert cluster.heard(A) == []
    cluster.tell(B, words.Replicas([first + 1]))
    assert cluster.heard(A) == []
    cluster.tell(B, words.Replicas([first + 5]))
    assert cluster.heard(A) == [Farewell(2, 109, 0, 0)]
    cluster.heard(CLIENT)
    cluster.leave(A)
    assert cluster.heard(CLIENT) == []
    assert cluster.heard(B) == []


def test_what_is_made_while_it_leaves_moves_too(cluster: Driver) -> None:
    """A task that ends in its grace leaves its value to another worker."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.submit(first, [b"a"])
    run = cluster.run(A)
    cluster.worker(B)
    leave(cluster)
    assert cluster.heard(A) == []
    cluster.done(A, run, None)
    assert cluster.heard(B) == [Copy([first], [0], [a])]
    cluster.tell(B, words.Replicas([first]))
    assert cluster.heard(A) == [Farewell(1, 9, 0, 0)]


def test_without_a_receiver_it_goes_at_once_and_says_what_is_left(cluster: Driver) -> None:
    """A receiver that is to leave as well is none."""
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first, 2)
    cluster.tell(CLIENT, words.Put([first + 5], [100], [], False))
    cluster.tell(A, words.Stored([first + 5], [100]))
    cluster.submit(first + 6, [b"long"])
    cluster.heard(A)
    cluster.worker(B)
    leave(cluster)
    leave(cluster, B)
    assert cluster.heard(B)[-1] == Farewell(0, 0, 0, 0)
    assert cluster.heard(A) == [Farewell(0, 0, 3, 1)]


@pytest.mark.parametrize("how", ["dies", "is to leave", "cannot"])
def test_another_receiver_is_found(cluster: Driver, how: str) -> None:
    """When the first one dies, is to leave itself, or cannot fetch the value."""
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first)
    cluster.worker(B)
    leave(cluster)
    assert isinstance(cluster.heard(B)[-1], Copy)
    cluster.worker(C)
    if how == "dies":
        cluster.leave(B)
    elif how == "is to leave":
        leave(cluster, B)
    else:
        cluster.tell(B, Uncopied([first], [b""]))
    assert isinstance(cluster.heard(C)[-1], Copy)
    cluster.tell(C, words.Replicas([first]))
    assert cluster.heard(A) == [Farewell(1, 9, 0, 0)]


def test_a_copy_that_is_lost_again_is_made_again(cluster: Driver) -> None:
    """As long as the worker is there, its value counts on nobody who has left."""
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first)
    cluster.submit(first + 1, [b"long"])
    run = cluster.run(A)
    cluster.worker(B)
    leave(cluster)
    cluster.tell(B, words.Replicas([first]))
    cluster.worker(C)
    cluster.leave(B)
    assert isinstance(cluster.heard(C)[-1], Copy)
    cluster.tell(C, words.Replicas([first]))
    cluster.done(A, run)
    assert cluster.heard(A) == [Farewell(2, 18, 0, 0)]


def test_what_cannot_leave_stays_and_is_reported(cluster: Driver) -> None:
    """A value that cannot be pickled, or that nobody can fetch, does not hold it up."""
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first, 2)
    cluster.worker(B)
    leave(cluster)
    cluster.tell(B, Uncopied([first], [b"not to be pickled"]))
    assert cluster.core.state.pinned == {first: b"not to be pickled"}
    for _ in range(draining.TRIES_MAX):
        assert cluster.heard(A) == []
        cluster.tell(B, Uncopied([first + 1], [b""]))
    assert cluster.heard(A) == [Farewell(0, 0, 2, 0)]
    cluster.heard(CLIENT)
    cluster.leave(A)
    assert cluster.run_last(B).tids == [first, first + 1]


def test_so_much_is_under_way_at_a_time(cluster: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """More is ordered as it arrives, shared among the receivers."""
    monkeypatch.setattr(draining, "UNDERWAY_MAX", 4)
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first, 6)
    cluster.worker(B)
    cluster.worker(C)
    leave(cluster)
    (to_b,), (to_c,) = cluster.heard(B), cluster.heard(C)
    assert isinstance(to_b, Copy)
    assert isinstance(to_c, Copy)
    assert len(to_b.tids) == len(to_c.tids) == 2
    cluster.tell(B, words.Replicas(to_b.tids))
    more = [tid for peer in (B, C) for each in cluster.heard(peer) for tid in each.tids]  # type: ignore[attr-defined]
    assert len(more) == 2
    assert not set(more) & {*to_b.tids, *to_c.tids}


def test_values_go_where_there_is_room(cluster: Driver) -> None:
    """A worker without room is not told to copy; when it has some, it is."""
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first)
    cluster.worker(B)
    receiver = cluster.core.state.worker_names[f"w{B}"]
    receiver.memory_limit = 1000
    cluster.tell(B, session.Heartbeat({"store_bytes": 500, "runner": {"rss": 300}}))
    leave(cluster)
    assert cluster.heard(B) == []
    assert cluster.heard(A) == []
    cluster.tell(B, session.Heartbeat({"store_bytes": 500, "runner": {"rss": "none"}}))
    assert isinstance(cluster.heard(B)[-1], Copy)


def test_who_cannot_wait_is_let_go(cluster: Driver) -> None:
    """And is told what it takes along. What arrives later is no harm."""
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first)
    cluster.worker(B)
    leave(cluster)
    leave(cluster, at_once=True)
    assert cluster.heard(A) == [Farewell(0, 0, 1, 0)]
    cluster.tell(B, words.Replicas([first]))
    cluster.leave(A)
    cluster.tell(CLIENT, words.Release([first]))
    assert cluster.at_rest()
    assert cluster.core.state.draining == {}


def test_values_that_nobody_needs_any_more_do_not_hold_it_up(cluster: Driver) -> None:
    """Its client lets go of a value while it is being copied."""
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first, 2)
    cluster.worker(B)
    leave(cluster)
    cluster.tell(CLIENT, words.Release([first, first + 1]))
    cluster.heard(A)
    cluster.heard(B)
    cluster.tell(B, words.Replicas([first]))
    cluster.tell(B, Uncopied([first + 1], [b""]))
    assert [each for each in cluster.heard(A) if isinstance(each, Farewell)]
    assert cluster.heard(B) == [words.Free([first])]


def test_values_of_clients_go_to_others(cluster: Driver) -> None:
    """Also those on their way to the worker when it is to leave."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.tell(CLIENT, words.Put([first], [100], [], False))
    assert cluster.heard(CLIENT) == [words.PutAt([first], [0], [a])]
    b = cluster.worker(B)
    leave(cluster)
    assert cluster.heard(CLIENT) == [words.PutAt([first], [0], [b])]
    cluster.tell(CLIENT, words.Put([first + 1, first + 2], [1, 1], [], True))
    assert cluster.heard(CLIENT) == [words.PutAt([first + 1, first + 2], [0, 0], [b])]


def test_a_task_bound_to_the_worker_waits_for_what_happens(cluster: Driver) -> None:
    """Its input cannot leave: when the worker has gone both are made elsewhere."""
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first)
    cluster.core.state.pinned[first] = b"stuck"
    cluster.submit(first + 1, [b"b"], [[first]])
    run = cluster.run(A)
    cluster.worker(B)
    leave(cluster)
    cluster.tell(A, words.Returned(run.attempts))
    assert cluster.heard(A) == [Farewell(0, 0, 1, 0)]
    assert cluster.heard(B) == []
    cluster.leave(A)
    assert cluster.run(B).tids == [first]


# ---------------------------------------------------------------- retired by a client


def test_a_client_retires_a_worker(cluster: Driver) -> None:
    """By name or address; it is answered when the worker has left, with what it was."""
    first = cluster.client()
    a = cluster.worker(A)
    held(cluster, first)
    b = cluster.worker(B)
    retire(cluster, workers=[f"w{A}"])
    assert cluster.heard(A) == [Dismiss("client-1 retires it")]
    assert cluster.heard(B) == [Copy([first], [0], [a])]
    cluster.heard(CLIENT)
    cluster.tell(CLIENT, session.Ask(1, "info", {}))
    assert answer(cluster).data["workers"][a]["status"] == "draining"
    cluster.tell(B, words.Replicas([first]))
    assert cluster.heard(A) == [Farewell(1, 9, 0, 0)]
    cluster.tell(CLIENT, session.Ask(1, "info", {}))
    assert answer(cluster).data["workers"][a]["status"] == "closing"
    cluster.leave(A)
    found = answer(cluster)
    assert found.ok
    assert list(found.data["workers"]) == [a]
    assert found.data["stayed"] == {}
    retire(cluster, workers=[a])
    assert "no worker" in answer(cluster).data["error"]
    retire(cluster, workers=[b])
    assert list(answer(cluster).data["stayed"]) == [b]
    assert cluster.heard(B) == []


def test_retired_workers_may_wait_to_be_closed(cluster: Driver) -> None:
    """With `close` false the answer comes when they may; a signal then ends them."""
    cluster.client()
    a = cluster.worker(A)
    cluster.worker(B)
    retire(cluster, workers=[a], close=False)
    assert list(answer(cluster).data["workers"]) == [a]
    assert cluster.heard(A) == [Dismiss("client-1 retires it")]
    cluster.tell(CLIENT, session.Ask(1, "info", {}))
    assert answer(cluster).data["workers"][a]["status"] == "retired"
    leave(cluster)
    assert cluster.heard(A) == [Farewell(0, 0, 0, 0)]


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({"workers": "w10"}, "list of names"),
        ({"workers": [1]}, "list of names"),
        ({"n": -1}, "n must be"),
        ({"n": "two"}, "n must be"),
        ({"minimum": None}, "minimum must be"),
        ({"memory_ratio": float("nan")}, "memory_ratio must be"),
    ],
)
def test_questions_without_sense_are_refused(
    cluster: Driver, params: dict[str, Any], why: str
) -> None:
    """With an error that says what it should be."""
    cluster.client()
    cluster.worker(A)
    retire(cluster, **params)
    found = answer(cluster)
    assert not found.ok
    assert why in found.data["error"]
    assert cluster.heard(A) == []


@pytest.mark.parametrize(
    ("params", "closed"),
    [({}, [B, C]), ({"minimum": 2}, [C]), ({"n": 1}, [C]), ({"n": 2}, [B, C]), ({"n": 0}, [])],
)
def test_the_scheduler_chooses_who_is_not_needed(
    cluster: Driver, params: dict[str, Any], closed: list[int]
) -> None:
    """Those that do nothing and hold least, the youngest first."""
    first = cluster.client()
    cluster.worker(A)
    held(cluster, first)
    cluster.worker(B)
    cluster.worker(C)
    for each in cluster.core.state.workers.values():
        each.memory_limit = 100
    retire(cluster, **params)
    dismissed = [p for p in (A, B, C) if any(isinstance(m, Dismiss) for m in cluster.heard(p))]
    assert dismissed == closed


def test_nobody_waits_for_a_client_that_is_gone(cluster: Driver) -> None:
    """Its question needs no answer."""
    cluster.client()
    a = cluster.worker(A)
    cluster.worker(B)
    cluster.submit(1 << 40, [b"a"])
    retire(cluster, workers=[a])
    cluster.leave(CLIENT)
    cluster.leave(A)
    assert not any(isinstance(each, session.Answer) for each in cluster.heard(CLIENT))
