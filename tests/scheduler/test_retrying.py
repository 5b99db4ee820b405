"""Failed tasks run again when their client asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import session, tasks as words

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, OTHER, A, B = 1, 2, 10, 11


def retry(cluster: Driver, *tids: int, peer: int = CLIENT) -> None:
    """The client asks."""
    cluster.tell(peer, session.Ask(77, "retry", {"tids": list(tids)}))


def answer(count: int) -> session.Answer:
    """What it hears when all is under way."""
    return session.Answer(77, ok=True, data={"n": count})


def test_it_runs_once_more(cluster: Driver) -> None:
    """Its client hears that it is open again, and then how it went."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.fail(A, cluster.run(A))
    assert isinstance(cluster.heard(CLIENT)[-1], words.Failed)
    retry(cluster, first)
    assert cluster.heard(CLIENT) == [words.Again([first]), answer(1)]
    cluster.done(A, cluster.run(A), b"v")
    assert cluster.heard(CLIENT) == [words.Finished([first], [9], [b"v"], [-1], [], [])]


def test_what_it_failed_over_runs_first(cluster: Driver) -> None:
    """Those between as well; what has a value keeps it, and another that failed alike stays as it is."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a", b"b"])
    cluster.submit(first + 2, [b"c", b"d", b"e"], [[first, first + 1], [first + 2], [first + 2]])
    attempts, status = cluster.run(A).attempts, [words.ERROR, words.OK_INLINE]
    cluster.tell(A, words.Done(attempts, status, [0.1, 0.1], [0, 9], [b"oops", b"v"]))
    cluster.heard(CLIENT)
    retry(cluster, first + 3)
    again, said = cluster.heard(CLIENT)
    assert isinstance(again, words.Again)
    assert sorted(again.tids) == [first, first + 2, first + 3]
    assert said == answer(3)
    for tid in (first, first + 2, first + 3):
        run = cluster.run(A)
        assert run.tids == [tid]
        cluster.done(A, run, b"v")
    told = [
        tid
        for each in cluster.heard(CLIENT)
        if isinstance(each, words.Finished)
        for tid in each.tids
    ]
    assert told == [first, first + 2, first + 3]
    retry(cluster, first + 4)
    assert cluster.run(A).tids == [first + 4]


def test_what_nobody_holds_runs_again_too(cluster: Driver) -> None:
    """Its client has let go of the one that failed, but not of the one that needs it."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.submit(first + 1, [b"b"], [[first]])
    cluster.tell(CLIENT, words.Release([first]))
    cluster.fail(A, cluster.run(A))
    cluster.heard(CLIENT)
    retry(cluster, first + 1)
    assert cluster.heard(CLIENT) == [words.Again([first + 1]), answer(2)]
    run = cluster.run(A)
    assert run.tids == [first]
    cluster.done(A, run, b"v")
    assert cluster.run(A).tids == [first + 1]


def test_its_retries_are_counted_anew(cluster: Driver) -> None:
    """It may fail as often as at first."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], retries=1)
    for _ in range(2):
        cluster.fail(A, cluster.run(A))
    assert isinstance(cluster.heard(CLIENT)[-1], words.Failed)
    retry(cluster, first)
    cluster.fail(A, cluster.run(A))
    assert cluster.heard(CLIENT) == [words.Again([first]), answer(1)]
    cluster.done(A, cluster.run(A), b"v")


def test_all_who_want_it_hear_of_it(cluster: Driver) -> None:
    """A task with a key may be another client's as well; only one's own ids count."""
    first, theirs = cluster.client(), cluster.client(OTHER)
    cluster.worker(A)
    cluster.submit(first, [b"a"], keys=["k"])
    cluster.submit(theirs, [b"a"], keys=["k"], peer=OTHER)
    cluster.fail(A, cluster.run(A))
    cluster.heard(CLIENT), cluster.heard(OTHER)
    retry(cluster, first, peer=OTHER)
    assert cluster.heard(OTHER) == [answer(0)]
    retry(cluster, theirs, peer=OTHER)
    assert cluster.heard(OTHER) == [words.Again([theirs]), answer(1)]
    assert cluster.heard(CLIENT) == [words.Again([first])]


def test_only_what_has_failed(cluster: Driver) -> None:
    """Not what runs, has a value, was cancelled, or is unknown; nor what can never run."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), b"v")
    cluster.submit(first + 1, [b"b"])
    cluster.submit(first + 2, [b"c"], [[first + 999]])
    cluster.submit(first + 3, [b"d"])
    cluster.tell(CLIENT, words.Cancel([first + 3], "no"))
    cluster.heard(CLIENT)
    retry(cluster, first, first + 1, first + 2, first + 3, first + 4, 0)
    assert cluster.heard(CLIENT) == [answer(0)]


def test_a_question_that_makes_no_sense(cluster: Driver) -> None:
    """It is refused, and nothing happens."""
    cluster.client()
    cluster.tell(CLIENT, session.Ask(5, "retry", {"tids": ["a"]}))
    [said] = cluster.heard(CLIENT)
    assert said == session.Answer(5, ok=False, data={"error": "tids must be a list of task ids"})


def test_very_many_take_turns(cluster: Driver) -> None:
    """Others are looked at in between, and the answer comes when all of them are under way."""
    first = cluster.client()
    cluster.worker(A)
    tids = cluster.submit(first, [b"a"] + [b"b"] * 2_000, [[], *([[first]] * 2_000)])
    cluster.fail(A, cluster.run(A))
    cluster.heard(CLIENT)
    cluster.core.handle(CLIENT, session.Ask(77, "retry", {"tids": tids}), 0.0)
    turns = 0
    while cluster.core.busy:
        cluster.core.work()
        turns += 1
    cluster.settle()
    assert turns > 3
    assert cluster.heard(CLIENT)[-1] == answer(2_001)
