"""Cancelling what runs: which of the things that may happen meanwhile counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.messages import tasks as words
from trio_dask.scheduler.core import Misuse

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

CLIENT, OTHER, A, B = 1, 2, 10, 11


def running(cluster: Driver, **options: Any) -> tuple[int, int]:
    """A task that runs on A, by id and attempt."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], **options)
    (attempt,) = cluster.run_of(A)
    return first, attempt


def stopped(attempt: int) -> words.Done:
    """The worker has stopped it."""
    return words.Done([attempt], [words.STOPPED], [0.5], [0], [b""])


@pytest.mark.parametrize("way", [words.COOPERATE, words.INTERRUPT, words.KILL])
def test_what_runs_is_interrupted_in_its_way(cluster: Driver, way: int) -> None:
    """The client is answered when the worker has; the slot is taken until then."""
    first, attempt = running(cluster, on_cancel=way)
    cluster.submit(first + 1, [b"b"] * 3)
    later = cluster.run_of(A)
    cluster.tell(CLIENT, words.Cancel([first], "enough"))
    assert cluster.heard(A) == [words.Interrupt([attempt], [way])]
    assert cluster.heard(CLIENT) == []
    assert len(cluster.core.state.workers["tcp://host:10"].window) == 1 + len(later)
    cluster.tell(A, stopped(attempt))
    assert cluster.heard(CLIENT) == [words.Cancelled([first], "enough")]
    cluster.tell(CLIENT, words.Release([first + row for row in range(4)]))
    cluster.tell(A, words.Returned([*later, *cluster.run_of(A)]))
    assert cluster.at_rest()


def test_a_value_or_an_error_that_came_first_counts(cluster: Driver) -> None:
    """Nothing is said of the cancellation then, now or when the worker is lost."""
    first, attempt = running(cluster)
    cluster.submit(first + 1, [b"b"])
    others = cluster.run_of(A)
    cluster.tell(CLIENT, words.Cancel([first, first + 1], "enough"))
    cluster.tell(A, words.Done([attempt], [words.OK_INLINE], [0.5], [1], [b"v"]))
    cluster.tell(A, words.Done(others, [words.ERROR], [0.5], [0], [b"oops"]))
    said = cluster.heard(CLIENT)
    assert [type(each) for each in said] == [words.Finished, words.Failed]
    cluster.leave(A)
    assert cluster.heard(CLIENT) == []


@pytest.mark.parametrize("how", ["the runner died", "it was killed", "the worker left", "returned"])
def test_losing_it_is_its_end(cluster: Driver, how: str) -> None:
    """Cancellation comes before loss: it is not run again, and its deaths blame nobody."""
    first, attempt = running(cluster)
    cluster.worker(B)
    cluster.tell(CLIENT, words.Cancel([first], "enough"))
    if how == "the worker left":
        cluster.leave(A)
    elif how == "returned":
        cluster.tell(A, words.Returned([attempt]))
    else:
        cluster.tell(A, words.Slots(0))
        certificate = {"on_purpose": True} if how == "it was killed" else {}
        cluster.tell(A, words.RunnerDied([attempt], [], [], certificate))
    assert cluster.heard(CLIENT) == [words.Cancelled([first], "enough")]
    assert cluster.run_of(B) == []
    cluster.tell(CLIENT, words.Release([first]))
    assert cluster.at_rest()


def test_who_shared_the_process_is_not_blamed(cluster: Driver) -> None:
    """A task whose process was ended to stop another runs again, as often as that happens."""
    first = cluster.client()
    cluster.worker(A, nthreads=2)
    for number in range(10):
        cluster.submit(first + number, [b"victim"])
        cluster.submit(first + 100 + number, [b"other"])
        attempts = cluster.run_of(A)
        cluster.tell(CLIENT, words.Cancel([first + number], "enough"))
        cluster.tell(A, words.RunnerDied(attempts, [], [], {"on_purpose": True}))
        (again,) = cluster.run_of(A)
        assert words.Cancelled([first + number], "enough") in cluster.heard(CLIENT)
        cluster.tell(A, words.Done([again], [words.OK_INLINE], [0.1], [1], [b"v"]))
    assert cluster.core.state.deaths == {}


def test_a_client_that_vanishes_stops_what_only_it_wanted(cluster: Driver) -> None:
    """What others want, or is to be kept, goes on."""
    first = cluster.client()
    theirs = cluster.client(OTHER)
    cluster.worker(A, nthreads=3)
    cluster.submit(first, [b"mine", b"kept", b"shared"], keys=["a", "b", "c"])
    attempts = cluster.run_of(A)
    cluster.submit(theirs, [b"shared"], peer=OTHER, keys=["c"])
    cluster.tell(CLIENT, words.Keep([first + 1]))
    cluster.leave(CLIENT)
    interrupts = [each for each in cluster.heard(A) if isinstance(each, words.Interrupt)]
    assert [each.attempts for each in interrupts] == [attempts[:1]]
    cluster.tell(A, stopped(attempts[0]))
    assert first not in cluster.core.state.tasks


def test_what_was_stopped_for_nobody_runs_for_who_comes(cluster: Driver) -> None:
    """Its client has vanished, another wants the same before it has stopped: it runs again."""
    first = cluster.client()
    theirs = cluster.client(OTHER)
    cluster.worker(A)
    cluster.submit(first, [b"x"], keys=["same"])
    (attempt,) = cluster.run_of(A)
    cluster.leave(CLIENT)
    cluster.submit(theirs, [b"x"], peer=OTHER, keys=["same"])
    cluster.tell(A, stopped(attempt))
    (again,) = cluster.run_of(A)
    cluster.tell(A, words.Done([again], [words.OK_INLINE], [0.1], [1], [b"v"]))
    assert isinstance(cluster.heard(OTHER)[-1], words.Finished)


def test_there_are_three_ways(cluster: Driver) -> None:
    """Any other is misuse."""
    first = cluster.client()
    for way in (3, -1, True, "kill"):
        with pytest.raises(Misuse, match="on_cancel"):
            cluster.submit(first, [b"a"], on_cancel=way)
