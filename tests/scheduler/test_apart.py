"""Tasks that are to have a process of their own: their workers are told which attempts these are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.messages import tasks as words

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

A = 10


def test_each_attempt_has_one(cluster: Driver) -> None:
    """Those of its submission alone, and the next one, too."""
    first = cluster.client()
    cluster.submit(first, [b"x"] * 2, apart=True, retries=1)
    cluster.submit(first + 2, [b"x"])
    cluster.submit(first + 3, [b"x"], [[first]], apart=True)
    cluster.worker(A, nthreads=8)
    run = cluster.run(A)
    assert run.apart == run.attempts[:2]
    assert len(run.attempts) == 3
    again = words.Run(run.attempts[:1], run.tids[:1], *([] for _ in range(9)))
    cluster.fail(A, again)
    cluster.done(A, words.Run(run.attempts[1:], run.tids[1:], *([] for _ in range(9))))
    run = cluster.run(A)
    assert run.apart == run.attempts
    assert run.tids == [first]
    cluster.done(A, run)
    run = cluster.run(A)
    assert run.tids == [first + 3]
    assert run.apart == run.attempts


def test_nothing_is_said_of_others(cluster: Driver) -> None:
    """No column; what is no yes is a no."""
    first = cluster.client()
    cluster.worker(A, nthreads=8)
    cluster.submit(first, [b"x"] * 3)
    cluster.submit(first + 3, [b"x"], apart=False)
    runs = [each for each in cluster.heard(A) if isinstance(each, words.Run)]
    assert [each.apart for each in runs] == [[] for _ in runs]
