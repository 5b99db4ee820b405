"""The context of a span goes with the tasks that were submitted in it, and with no others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trio_dask.messages import tasks as words
from trio_dask.scheduler.core import Misuse

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver
    from trio_dask.messages import Message

C, A = 1, 10


def told(messages: list[Message]) -> list[tuple[str, list[int]]]:
    """What a worker is told of traces and attempts, in order."""
    found: list[tuple[str, list[int]]] = []
    for each in messages:
        if isinstance(each, words.Traced):
            found.append((each.trace, each.attempts))
        elif isinstance(each, words.Run):
            found.append(("run", each.attempts))
    return found


def test_a_trace_comes_before_its_attempts(cluster: Driver) -> None:
    """Which are those of its submission alone."""
    first = cluster.client()
    cluster.submit(first, [b"x"] * 2, trace="one")
    cluster.submit(first + 2, [b"x"])
    cluster.submit(first + 3, [b"x"] * 2, trace="two")
    cluster.worker(A, nthreads=8)
    [one, two, (run, attempts)] = told(cluster.heard(A))
    assert run == "run"
    assert len(attempts) == 5
    assert [one, two] == [("one", attempts[:2]), ("two", attempts[3:])]


def test_each_attempt_is_traced(cluster: Driver) -> None:
    """Also the next one."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"x"], trace="one", retries=1)
    heard = cluster.heard(A)
    [(_, traced), (_, attempts)] = told(heard)
    assert traced == attempts
    assert isinstance(heard[-1], words.Run)
    cluster.fail(A, heard[-1])
    [(_, traced), (_, again)] = told(cluster.heard(A))
    assert traced == again != attempts


def test_nothing_is_told_of_what_is_not_traced(cluster: Driver) -> None:
    """No message, no column."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"x"])
    assert [what for what, _ in told(cluster.heard(A))] == ["run"]


@pytest.mark.parametrize("trace", [1, None, b"x", "x" * 1025])
def test_what_is_no_context_is_refused(cluster: Driver, trace: object) -> None:
    """Of its client."""
    first = cluster.client()
    with pytest.raises(Misuse, match="no context of a span"):
        cluster.submit(first, [b"x"], trace=trace)
