"""Beginning anew: everything is forgotten at once, whoever still says what about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import session, tasks as words
from trio_dask.messages.fleet import Farewell, Leave, Renew, Renewed

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, OTHER, A, B = 1, 2, 10, 11


def ask(cluster: Driver, topic: str, peer: int = CLIENT, **params: Any) -> None:
    """The client asks."""
    cluster.tell(peer, session.Ask(7, topic, params))


def answers(cluster: Driver, peer: int = CLIENT) -> list[session.Answer]:
    """What the client was answered."""
    return [each for each in cluster.heard(peer) if isinstance(each, session.Answer)]


def renewed(cluster: Driver, peer: int) -> None:
    """The worker says all that it says when it has a new runner."""
    (renew,) = [each for each in cluster.heard(peer) if isinstance(each, Renew)]
    cluster.tell(peer, words.Slots(0))
    cluster.tell(peer, words.Slots(1))
    cluster.tell(peer, Renewed(renew.serial))


def test_everything_is_forgotten(cluster: Driver) -> None:
    """Clients hear that it is cancelled; the one that asked when the workers are back."""
    first, theirs = cluster.client(), cluster.client(OTHER)
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"a"] * 8)
    cluster.submit(first + 8, [b"b"], [[first]], keys=["mine"])
    cluster.done(A, cluster.run_last(A), None)
    cluster.tell(OTHER, words.Want([theirs], [first]))
    cluster.tell(CLIENT, words.Put([first + 9], [10], [], False))
    cluster.submit(theirs + 1, [b"a"], peer=OTHER, workers=["nobody"])
    for peer in (CLIENT, OTHER, A, B):
        cluster.heard(peer)
    ask(cluster, "restart")
    why = "client-1 has restarted the cluster"
    assert cluster.heard(OTHER) == [words.Cancelled([theirs, theirs + 1], why)]
    assert cluster.heard(CLIENT) == [words.Cancelled(list(range(first, first + 10)), why)]
    assert cluster.heard(A, keep=True) == [Renew(1, forget=True)]
    assert cluster.at_rest()
    cluster.submit(first + 20, [b"c"])
    renewed(cluster, A)
    assert answers(cluster) == []
    assert cluster.run(A).tids == [first + 20]
    renewed(cluster, B)
    (answer,) = answers(cluster)
    assert answer.ok
    assert set(answer.data["workers"].values()) == {"OK"}
    assert cluster.core.state.renewals == {}


def test_what_is_late_is_dropped(cluster: Driver) -> None:
    """Attempts, values and copies of before are nobody's."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"] * 2)
    run = cluster.run(A)
    ask(cluster, "restart")
    cluster.heard(A)
    cluster.done(A, words.Run(run.attempts[:1], [], [], [], [], [], [], [], [], [], []), None)
    cluster.tell(A, words.Returned(run.attempts[1:]))
    cluster.tell(A, words.Replicas([first]))
    cluster.tell(A, words.Stored([first + 1], [1]))
    cluster.tell(A, words.RunnerDied(run.attempts, [], [first], {}))
    cluster.tell(CLIENT, words.Release([first, first + 1]))
    cluster.tell(CLIENT, words.Unreachable([first], "tcp://host:10"))
    assert cluster.heard(A) == [words.Free([first]), words.Free([first + 1])]
    assert cluster.at_rest()


def test_a_restart_in_the_middle_of_a_large_submission(cluster: Driver) -> None:
    """Half of it cannot be forgotten: all of it is there first, and then gone."""
    first = cluster.client()
    other = cluster.client(OTHER)
    count = 5000
    cluster.core.handle(
        OTHER, words.Submit(other, [other], [b"a"] * count, [], [], [], [], True, {}), 0.0
    )
    assert cluster.core.busy
    ask(cluster, "restart")
    cancelled = [each for each in cluster.heard(OTHER) if isinstance(each, words.Cancelled)]
    assert sum(len(each.tids) for each in cancelled) == count
    assert len(answers(cluster)) == 1
    assert cluster.at_rest()
    assert first


def test_misuse_in_a_job_that_was_finished_early_is_not_overlooked(cluster: Driver) -> None:
    """The peer is let go, as it would have been."""
    cluster.client()
    other = cluster.client(OTHER)
    tids = [*range(other, other + 1500), 1]
    cluster.core.handle(OTHER, words.Release(tids), 0.0)
    cluster.core.handle(CLIENT, session.Ask(7, "restart", {}), 0.0)
    assert cluster.core.busy
    bad = cluster.core.work()
    assert [peer for peer, _ in bad] == [OTHER]


@pytest.mark.parametrize("wait", [True, False])
def test_workers_that_leave_are_not_waited_for(cluster: Driver, *, wait: bool) -> None:
    """Nor are any, if the client does not want to."""
    cluster.client()
    a = cluster.worker(A)
    ask(cluster, "restart", wait=wait)
    if wait:
        assert answers(cluster) == []
        cluster.leave(A)
        assert answers(cluster)[0].data == {"workers": {a: "removed"}}
    else:
        assert answers(cluster)[0].data == {"workers": {}}


def test_two_restarts_at_once(cluster: Driver) -> None:
    """Both are answered, by whatever runner comes after each."""
    cluster.client()
    cluster.client(OTHER)
    cluster.worker(A)
    ask(cluster, "restart")
    ask(cluster, "restart", OTHER)
    one, two = cluster.heard(A)
    assert isinstance(one, Renew)
    assert isinstance(two, Renew)
    cluster.tell(A, words.Slots(1))
    cluster.tell(A, Renewed(one.serial))
    cluster.tell(A, Renewed(two.serial))
    cluster.tell(A, Renewed(99))
    assert len(answers(cluster)) == len(answers(cluster, OTHER)) == 1


def test_functions_sent_after_a_restart_are_with_the_worker(cluster: Driver) -> None:
    """It keeps them for the runner that it is to have, so they are not sent again."""
    first = cluster.client()
    cluster.worker(A)
    cluster.tell(A, words.Slots(1))
    ask(cluster, "restart")
    cluster.heard(A)
    cluster.tell(A, words.Slots(1))  # said before it heard of the restart
    cluster.submit(first, [b"a"])
    run = cluster.run_last(A)
    cluster.tell(A, words.Slots(0))
    cluster.tell(A, words.Returned(run.attempts))
    cluster.tell(A, words.Slots(1))
    (again,) = cluster.heard(A)
    assert isinstance(again, words.Run)


def test_a_worker_that_is_to_leave_may_go(cluster: Driver) -> None:
    """There is nothing left that it could take along."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), None)
    cluster.worker(B)
    cluster.tell(A, Leave("SIGTERM", at_once=False))
    cluster.heard(A)
    ask(cluster, "restart")
    assert Farewell(0, 0, 0, 0) in cluster.heard(A)


# ---------------------------------------------------------------- some workers


def test_some_workers_get_new_runners(cluster: Driver) -> None:
    """Nothing is forgotten: what ran comes back as if the runner had died, on purpose."""
    first = cluster.client()
    a = cluster.worker(A)
    cluster.submit(first, [b"a"])
    run = cluster.run(A)
    ask(cluster, "restart_workers", workers=[a, f"w{A}"])
    (renew,) = cluster.heard(A)
    assert renew == Renew(1, forget=False)
    ask(cluster, "restarting", workers=[a, "gone"])
    assert answers(cluster)[0].data == {"workers": {a: "pending", "gone": "removed"}}
    cluster.tell(A, words.Slots(0))
    cluster.tell(A, words.RunnerDied(run.attempts, [], [], {"on_purpose": True}))
    cluster.tell(A, words.Slots(1))
    cluster.tell(A, Renewed(1))
    assert answers(cluster)[0].data == {"workers": {a: "OK"}}
    assert cluster.run(A).tids == [first]
    assert cluster.core.state.deaths == {}


@pytest.mark.parametrize("workers", [["nobody"], "w10", [1], None])
def test_unknown_workers_are_refused(cluster: Driver, workers: object) -> None:
    """And nobody's runner is replaced."""
    cluster.client()
    cluster.worker(A)
    ask(cluster, "restart_workers", workers=workers)
    (answer,) = answers(cluster)
    assert not answer.ok
    assert cluster.heard(A) == []


def test_a_shutdown_is_answered_and_noted(cluster: Driver) -> None:
    """The server does the rest."""
    cluster.client()
    ask(cluster, "shutdown")
    assert answers(cluster)[0].ok
    assert cluster.core.state.closing == "client-1 has shut the cluster down"
