"""Tasks on their way to workers and back: what peers say, and the whole of what they are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trio_dask.messages import tasks as words

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, A, B, C = 1, 10, 11, 12


def test_a_task_runs_and_its_value_comes_back(cluster: Driver) -> None:
    """Function, task and small value travel, and after release nothing is left."""
    first = cluster.client()
    cluster.worker(A)
    (tid,) = cluster.submit(first, [b"args"])
    functions, run = cluster.heard(A)
    assert functions == words.Functions([first], ["inc"], [b"INC"])
    assert isinstance(run, words.Run)
    assert (run.tids, run.args, run.dep_counts) == ([tid], [b"args"], [])
    cluster.done(A, run, b"11")
    assert cluster.heard(CLIENT) == [words.Finished([tid], [9], [b"11"], [words.INLINE], [])]
    cluster.tell(CLIENT, words.Release([tid]))
    assert cluster.heard(A) == []
    assert cluster.at_rest()


def test_a_function_travels_once_to_each_worker(cluster: Driver) -> None:
    """The second task with a function brings only its arguments."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"1"])
    cluster.done(A, cluster.run(A))
    cluster.submit(first + 1, [b"2"])
    assert [type(each) for each in cluster.heard(A)] == [words.Run]


def test_a_function_is_forgotten_when_it_is_in_no_window(cluster: Driver) -> None:
    """Its client will not use it again, but a task given out still may."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"1"])
    run = cluster.run(A)
    cluster.tell(CLIENT, words.ForgetFunctions([first]))
    assert cluster.heard(A) == []
    cluster.done(A, run)
    cluster.tick(1.0)
    assert cluster.heard(A) == [words.ForgetFunctions([first])]
    cluster.tick(1.0)
    assert cluster.heard(A) == []


def test_without_workers_tasks_wait(cluster: Driver) -> None:
    """Tasks submitted to an empty cluster start when a worker joins."""
    first = cluster.client()
    cluster.submit(first, [b"1"])
    assert cluster.heard(CLIENT) == []
    cluster.worker(A)
    assert cluster.run(A).tids == [first]


def test_few_tasks_spread(cluster: Driver) -> None:
    """Two tasks and two idle workers: one each."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"1", b"2"])
    assert len(cluster.run(A).tids) == len(cluster.run(B).tids) == 1


def _shares(cluster: Driver, seconds: float) -> list[int]:
    """What each of a hundred idle workers gets of 1,000 tasks that take so long."""
    first = cluster.client()
    peers = range(A, A + 100)
    cluster.worker(A)
    cluster.submit(first, [b"x"])
    cluster.done(A, cluster.run(A), seconds=seconds)
    for peer in peers[1:]:
        cluster.worker(peer)
    cluster.submit(first + 1, [b"x"] * 1000)
    while cluster.core.busy:
        cluster.settle()
    runs = {
        peer: [each for each in cluster.heard(peer) if isinstance(each, words.Run)]
        for peer in peers
    }
    return [sum(len(run.tids) for run in runs[peer]) for peer in peers]


def test_what_is_very_short_is_worth_a_message(cluster: Driver) -> None:
    """Some get many, instead of each a few."""
    shares = _shares(cluster, 1e-6)
    assert sum(shares) == 1000
    assert shares.count(0) > 50


def test_what_takes_longer_is_spread(cluster: Driver) -> None:
    """Milliseconds are worth a message."""
    shares = _shares(cluster, 2e-3)
    assert sum(shares) == 1000
    assert 0 < min(shares) <= max(shares) <= 11


def test_of_unknown_length_only_the_slots_count(cluster: Driver) -> None:
    """A worker gets one task more than it has slots, until something is known of them."""
    first = cluster.client()
    cluster.worker(A, nthreads=3)
    cluster.submit(first, [b"x"] * 100)
    run = cluster.run(A)
    assert len(run.tids) == 4
    cluster.done(A, run, seconds=1e-6)
    assert len(cluster.run(A).tids) == 96, "short ones travel in large batches"


def test_long_tasks_are_not_given_ahead(cluster: Driver) -> None:
    """Of tasks longer than the horizon a worker has one more than slots."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"x"] * 100)
    run = cluster.run(A)
    cluster.done(A, run, seconds=10.0)
    assert len(cluster.run(A).tids) == 2


@pytest.mark.parametrize("workers", [[], ["h"]])
def test_the_last_tasks_wait_for_who_is_free_first(cluster: Driver, workers: list[str]) -> None:
    """Nobody has one ahead that another would begin sooner, whoever tells first of its ends."""
    first = cluster.client()
    cluster.worker(A, nthreads=2, host="h")
    cluster.worker(B, nthreads=2, host="h")
    cluster.submit(first, [bytes([each]) for each in range(8)], workers=workers)
    runs = {peer: cluster.run(peer) for peer in (A, B)}
    assert [len(run.tids) for run in runs.values()] == [3, 2]
    for (peer, run), more in zip(runs.items(), (1, 2), strict=True):
        cluster.tell(peer, words.Done(run.attempts[:2], [0, 0], [1.0] * 2, [9] * 2, [b"1"] * 2))
        assert len(cluster.run(peer).tids) == more


def test_lower_rank_first(cluster: Driver) -> None:
    """Higher priority is given out first, then whatever was submitted first."""
    first = cluster.client()
    cluster.submit(first, [b"low"])
    cluster.submit(first + 1, [b"high"], priority=5)
    cluster.submit(first + 2, [b"high too"], priority=5)
    cluster.submit(first + 3, [b"negative"], priority=-1)
    cluster.worker(A, nthreads=8)
    run = cluster.run(A)
    assert run.args == [b"high", b"high too", b"low", b"negative"]
    assert run.ranks == sorted(run.ranks)


def test_a_newcomer_of_higher_priority_overtakes(cluster: Driver) -> None:
    """It is sent over the full window, and the last of those that have not begun comes back."""
    first = cluster.client()
    cluster.worker(A, nthreads=2)
    cluster.submit(first, [b"low"] * 5)
    low = cluster.run(A)
    assert len(low.tids) == 3
    cluster.submit(first + 5, [b"high"] * 2, priority=1)
    run, recall = cluster.heard(A)
    said = {type(each): each for each in (run, recall)}
    assert said[words.Recall] == words.Recall(low.attempts[2:])
    high = said[words.Run]
    assert isinstance(high, words.Run)
    assert high.args == [b"high"], "one for each that has not begun"
    cluster.tell(A, words.Returned(low.attempts[2:]))
    assert cluster.heard(A) == [], "the other two have begun, as far as is known here"
    cluster.done(A, high)
    assert cluster.run(A).args[0] == b"high"


def test_a_newcomer_overtakes_what_was_given_after_longer_tasks(cluster: Driver) -> None:
    """What was given first has begun, whatever its rank; the others come back in time."""
    first = cluster.client()
    cluster.worker(A, nthreads=1)
    cluster.submit(first, [b"lowest"], priority=-5)
    began = cluster.run(A)
    cluster.submit(first + 1, [b"low"])
    low = cluster.run(A)
    cluster.submit(first + 2, [b"high"], priority=1)
    run, recall = sorted(cluster.heard(A), key=lambda each: isinstance(each, words.Recall))
    assert recall == words.Recall(low.attempts), "the first has begun"
    assert isinstance(run, words.Run)
    assert run.args == [b"high"]
    assert began.args == [b"lowest"]


def test_a_newcomer_that_only_some_may_run_overtakes_as_well(cluster: Driver) -> None:
    """Restrictions make nobody wait behind what is less urgent."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"low"] * 4)
    low = cluster.run(A)
    assert len(low.tids) == 2
    cluster.submit(first + 4, [b"high"], priority=1, workers=[f"w{A}"])
    said = {type(each): each for each in cluster.heard(A)}
    assert said[words.Recall] == words.Recall(low.attempts[1:])
    high = said[words.Run]
    assert isinstance(high, words.Run)
    assert high.args == [b"high"]


def test_a_restricted_queue_fills_the_windows_it_may(cluster: Driver) -> None:
    """However many other workers there are: none of what is given is kept for them."""
    first = cluster.client()
    for peer in range(A, A + 6):
        cluster.worker(peer, nthreads=4)
    cluster.submit(first, [b"x"] * 9, workers=[f"w{A}"])
    assert len(cluster.run(A).tids) == 5, "one more than slots"


def test_inputs_that_are_small_travel_with_the_task(cluster: Driver) -> None:
    """An inline value is given to whoever needs it, and dropped when nobody does."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(CLIENT, words.Release([first]))
    cluster.done(A, cluster.run(A), b"VALUE")
    run = cluster.run(A)
    assert (run.dep_tids, run.dep_at, run.dep_values) == ([first], [words.INLINE], [b"VALUE"])
    cluster.done(A, run)
    assert cluster.core.state.tasks[first].value is None, "nobody needs it any more"
    cluster.tell(CLIENT, words.Release([first + 1]))
    assert cluster.at_rest()


def test_held_inputs_say_where_they_are(cluster: Driver) -> None:
    """A task with a large input goes to its holder, and the value is freed after its last use."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"a"])
    holder = A if cluster.said[A] else B
    cluster.done(holder, cluster.run(holder), None)
    address = a if holder == A else f"tcp://host:{B}"
    assert cluster.heard(CLIENT) == [words.Finished([first], [9], [b""], [0], [address])]
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(CLIENT, words.Release([first]))
    run = cluster.run(holder)
    assert (run.dep_at, run.places) == ([0], [address])
    cluster.done(holder, run)
    assert cluster.heard(holder) == [words.Free([first])]


def test_an_error_fails_dependents(cluster: Driver) -> None:
    """Everything downstream fails with the same failure, which is sent once."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.submit(first + 1, [b"b", b"c"], [[first], [first + 1]])
    cluster.fail(A, cluster.run(A), b"boom")
    (failed,) = cluster.heard(CLIENT)
    assert failed == words.Failed([first, first + 1, first + 2], [0, 0, 0], [b"boom"])
    cluster.submit(first + 3, [b"late"], [[first]])
    assert cluster.heard(CLIENT) == [words.Failed([first + 3], [0], [b"boom"])]
    cluster.tell(CLIENT, words.Release([first, first + 1, first + 2, first + 3]))
    assert cluster.at_rest()


def test_retries(cluster: Driver) -> None:
    """A task with two retries is run three times at most."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], retries=2)
    attempts = []
    for _ in range(2):
        run = cluster.run(A)
        attempts += run.attempts
        cluster.fail(A, run)
        assert cluster.heard(CLIENT) == []
    run = cluster.run(A)
    assert len({*attempts, *run.attempts}) == 3, "each try is an attempt of its own"
    cluster.fail(A, run, b"boom")
    assert cluster.heard(CLIENT) == [words.Failed([first], [0], [b"boom"])]


def test_a_report_about_another_attempt_is_ignored(cluster: Driver) -> None:
    """What a worker says of attempts that are not in its window changes nothing."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    run = cluster.run(A)
    stale = words.Run([run.attempts[0] + 99], [first], [first], [0], [b""], [], [], [], [], [], [])
    cluster.done(A, stale)
    assert cluster.heard(CLIENT) == []
    cluster.done(A, run)
    cluster.done(A, run)
    assert len(cluster.heard(CLIENT)) == 1


def test_restricted_tasks_go_where_they_may(cluster: Driver) -> None:
    """Named workers only, by name or address; others when allowed and none of the named is here."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"only b"], workers=["w11"])
    cluster.submit(first + 1, [b"b if possible"], workers=["w11"], allow_other_workers=True)
    assert cluster.run(A).args == [b"b if possible"]
    cluster.worker(B)
    assert cluster.run(B).args == [b"only b"]


def test_restricted_tasks_go_to_a_host(cluster: Driver) -> None:
    """By what it is called in addresses, or by itself; a worker's own name goes before that."""
    first = cluster.client()
    cluster.submit(first, [b"h"] * 2, workers=["h1"])
    cluster.worker(A, host="h1")
    cluster.worker(B, host="h2")
    assert cluster.run(A).args == [b"h"] * 2
    assert cluster.heard(B) == []
    cluster.worker(C, host="10.0.0.3", info={"host": "h3"})
    cluster.submit(first + 2, [b"x"], workers=["h3"])
    assert cluster.run(C).args == [b"x"]
    cluster.submit(first + 3, [b"y"], workers=["10.0.0.3"], allow_other_workers=True)
    assert cluster.run(C).args == [b"y"]
    cluster.worker(C + 1, host="h4", name="h2")
    cluster.submit(first + 4, [b"z"] * 9, workers=["h2"])
    assert set(cluster.run(C + 1).args) == {b"z"}
    cluster.submit(first + 13, [b"anywhere"])
    cluster.done(B, cluster.run(B))
    assert cluster.heard(B) == []


def test_who_left_is_not_on_its_host_any_more(cluster: Driver) -> None:
    """Others may run it then, if they are allowed to, until somebody comes there."""
    first = cluster.client()
    cluster.worker(A, host="h1", info={"host": 7})
    cluster.worker(B, host="h2")
    cluster.leave(A)
    cluster.submit(first, [b"a"], workers=["h1"])
    cluster.submit(first + 1, [b"b"], workers=["h1"], allow_other_workers=True)
    assert cluster.run(B).args == [b"b"]
    assert cluster.core.state.hosts.keys() == {"h2"}
    cluster.worker(C, host="h1")
    assert cluster.run(C).args == [b"a"]


def test_scattered_values_go_to_a_host(cluster: Driver) -> None:
    """Shared out among its workers."""
    first = cluster.client()
    for peer, host in ((A, "h1"), (B, "h2"), (C, "h1")):
        cluster.worker(peer, host=host)
    cluster.tell(CLIENT, words.Put([first, first + 1], [9, 9], workers=["h1"], broadcast=False))
    said = [each for each in cluster.heard(CLIENT) if isinstance(each, words.PutAt)]
    assert {each for one in said for each in one.places} == {f"tcp://h1:{A}", f"tcp://h1:{C}"}


def test_resources_are_not_over_committed(cluster: Driver) -> None:
    """A task takes its units for as long as it is in the window."""
    first = cluster.client()
    cluster.worker(A, nthreads=4, resources={"GPU": 2})
    cluster.submit(first, [b"x"] * 5, resources={"GPU": 1})
    run = cluster.run(A)
    assert len(run.tids) == 2
    cluster.done(A, run)
    assert len(cluster.run(A).tids) == 2


def test_what_waits_behind_a_long_task_is_recalled(cluster: Driver) -> None:
    """When a slot is free elsewhere, the un-begun move there; the worker confirms first."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"long", b"behind"])
    run = cluster.run(A)
    cluster.worker(B)
    cluster.tick(1.0)
    assert cluster.heard(A) == [words.Recall(run.attempts[1:])]
    cluster.tick(1.0)
    assert cluster.heard(A) == [], "it is asked once"
    cluster.tell(A, words.Returned(run.attempts[1:]))
    assert cluster.run(B).args == [b"behind"]


def test_tasks_go_to_inputs_that_cannot_move(cluster: Driver) -> None:
    """A value that cannot be pickled: its consumers run where it is, or fail saying why."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    a, b = f"tcp://host:{A}", f"tcp://host:{B}"
    cluster.submit(first, [b"a"], workers=["w10"])
    cluster.submit(first + 1, [b"b"], workers=["w11"])
    for peer in (A, B):
        cluster.done(peer, cluster.run(peer), None)
    cluster.heard(CLIENT)
    cluster.submit(first + 2, [b"on b by force"], [[first]], workers=["w11"])
    run = cluster.run(B)
    cluster.tell(B, words.Pinned(run.attempts, [first], [a], [b"a is stuck"]))
    assert cluster.heard(CLIENT) == [words.Failed([first + 2], [0], [b"a is stuck"])]
    cluster.submit(first + 3, [b"needs both"], [[first + 1, first]])
    assert cluster.run(A).tids == [first + 3]
    attempt = cluster.core.state.tasks[first + 3].attempt
    cluster.tell(A, words.Pinned([attempt], [first + 1], [b], [b"b is stuck"]))
    (failed,) = cluster.heard(CLIENT)
    assert isinstance(failed, words.Failed)
    cluster.submit(first + 4, [b"x"] * 50, [[first]] * 50)
    assert cluster.heard(B) == [], "idle, but it cannot help"
    assert cluster.run(A).tids[0] == first + 4


def test_what_is_loaded_is_used_before_more_is_loaded(cluster: Driver) -> None:
    """A program submits all loads, and then what makes them small: memory holds a few at a time."""
    first = cluster.client()
    cluster.worker(A)
    loads = cluster.submit(first, [b"load"] * 50)
    used = cluster.submit(first + 50, [b"use"] * 50, [[tid] for tid in loads])
    cluster.tell(CLIENT, words.Release(loads))
    held, most, order = set[int](), 0, list[int]()
    window: list[tuple[int, int]] = []
    while len(order) < 100:
        for message in cluster.heard(A):
            if isinstance(message, words.Run):
                window += zip(message.attempts, message.tids, strict=True)
            elif isinstance(message, words.Free):
                held.difference_update(message.tids)
            else:
                assert not isinstance(message, words.Recall)
        attempt, tid = window.pop(0)
        order.append(tid)
        held.add(tid)
        most = max(most, len(held & set(loads)))
        cluster.tell(A, words.Done([attempt], [words.OK_HELD], [0.1], [100], [b""]))
    assert sorted(order) == loads + used
    assert most <= 3


def test_what_comes_home_does_not_hold_up_what_waits(cluster: Driver) -> None:
    """A chain that never ends lets others have their turn, too."""
    first = cluster.client()
    cluster.worker(A)
    (last,) = cluster.submit(first, [b"chain"])
    waits = cluster.submit(first + 1, [b"waits"] * 3)
    ran: list[int] = []
    window: list[tuple[int, int]] = []
    for step in range(60):
        for message in cluster.heard(A):
            if isinstance(message, words.Run):
                window += zip(message.attempts, message.tids, strict=True)
        attempt, tid = window.pop(0)
        ran.append(tid)
        following = cluster.submit(first + 10 + step, [b"chain"], [[last]])
        cluster.tell(A, words.Done([attempt], [words.OK_HELD], [0.1], [100], [b""]))
        (last,) = following
    assert set(waits) <= set(ran)


@pytest.mark.parametrize(
    ("bytes_there", "helps"),
    [
        (1_000_000_000, True),  # whoever takes it has to fetch as much
        (1_000, False),  # all of it would have to be moved
    ],
)
def test_who_is_idle_helps_where_it_has_no_more_to_fetch(
    cluster: Driver, bytes_there: int, *, helps: bool
) -> None:
    """What joins parts of everything has no home in particular, however much it would move."""
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    parts = cluster.submit(first, [b"a"], workers=["w10"])
    parts += cluster.submit(first + 1, [b"b"], workers=["w11"])
    for peer, nbytes in ((A, 1_000_000_100), (B, bytes_there)):
        run = cluster.run(peer)
        cluster.tell(peer, words.Done(run.attempts, [words.OK_HELD], [0.1], [nbytes], [b""]))
    cluster.heard(A), cluster.heard(B)
    joins = cluster.submit(first + 2, [b"join"] * 2, [parts] * 2)
    at_home, taken = (
        [tid for each in cluster.heard(peer) if isinstance(each, words.Run) for tid in each.tids]
        for peer in (A, B)
    )
    assert (at_home, taken) == ((joins[:1], joins[1:]) if helps else (joins, []))


def test_without_a_home_a_task_goes_where_it_waits_least(cluster: Driver) -> None:
    """What joins a part of each worker has nearly all to fetch, wherever it runs."""
    first = cluster.client()
    peers = range(A, A + 4)
    for peer in peers:
        cluster.worker(peer)
    parts: list[int] = []
    for peer in peers:
        parts += cluster.submit(first + len(parts), [b"part"], workers=[f"w{peer}"])
        run = cluster.run(peer)
        nbytes = 1_000_000 if peer == A else 900_000
        cluster.tell(peer, words.Done(run.attempts, [words.OK_HELD], [0.1], [nbytes], [b""]))
    joins = cluster.submit(first + 10, [b"join"] * 4, [parts] * 4)
    for peer in peers:
        (run,) = (each for each in cluster.heard(peer) if isinstance(each, words.Run))
        assert run.tids == [joins[peer - A]]
