"""What waits behind long tasks goes where somebody has nothing to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import tasks as words

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

A, B, C = 10, 11, 12


def test_what_runs_for_longer_and_longer_does_not_hold_up_what_waits(cluster: Driver) -> None:
    """Each heartbeat says that it lasts longer than was thought: it is late all the same."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"long", b"behind"])
    run = cluster.run(A)
    cluster.worker(B)
    cluster.now += 0.4
    cluster.tell(A, words.Running(run.attempts[:1], [0.4]))
    cluster.tick(0.0)
    assert cluster.heard(A) == [], "it may end at any time"
    cluster.now += 0.2
    cluster.tell(A, words.Running(run.attempts[:1], [0.6]))
    cluster.tick(0.0)
    assert cluster.heard(A) == [words.Recall(run.attempts[1:])]


def test_what_waits_where_its_inputs_are_stays_if_they_take_longer(cluster: Driver) -> None:
    """To fetch them elsewhere would take longer than what is before it is expected to."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"large"])
    cluster.tell(A, words.Done(cluster.run(A).attempts, [words.OK_HELD], [1.0], [10**12], [b""]))
    cluster.submit(first + 1, [b"long", b"behind"], [[first], [first]])
    run = cluster.run(A)
    cluster.worker(B)
    for _ in range(3):
        cluster.tick(1.0)
    assert cluster.heard(A) == []
    assert len(run.attempts) == 2


def test_what_only_some_may_run_goes_to_one_of_these(cluster: Driver) -> None:
    """Named workers, and those with what it takes; nobody else is of use to it."""
    first = cluster.client()
    cluster.worker(A, resources={"GPU": 2})
    cluster.submit(first, [b"long", b"behind"], workers=["w10", "w12"], resources={"GPU": 1})
    run = cluster.run(A)
    assert len(run.attempts) == 2
    cluster.worker(B, resources={"GPU": 2})
    cluster.tick(1.0)
    assert cluster.heard(A) == [], "it is not meant"
    cluster.worker(C, resources={"GPU": 2})
    cluster.tick(1.0)
    assert cluster.heard(A) == [words.Recall(run.attempts[1:])]
    cluster.tell(A, words.Returned(run.attempts[1:]))
    assert cluster.run(C).args == [b"behind"]
    assert cluster.heard(B) == []
