"""Timeouts and deadlines at the scheduler: who is out of time, and what counts then."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest

from trio_dask.errors import TaskTimeout
from trio_dask.messages import tasks as words
from trio_dask.messages.exceptions import rebuild
from trio_dask.messages.failure import Failure
from trio_dask.scheduler.core import Misuse

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver
    from trio_dask.messages import Message

CLIENT, OTHER, A, B = 1, 2, 10, 11


def expire(cluster: Driver, seconds: float) -> None:
    """So much time passes, and the core is asked who is out of time."""
    cluster.now += seconds
    cluster.core.expire(cluster.now)
    cluster.settle()


def errors(messages: list[Message]) -> dict[int, TaskTimeout]:
    """The errors that a client was told, by task."""
    found: dict[int, TaskTimeout] = {}
    for message in messages:
        if isinstance(message, words.Failed):
            for tid, which in zip(message.tids, message.which, strict=True):
                error = rebuild(Failure.from_bytes(message.failures[which]))
                assert isinstance(error, TaskTimeout), error
                found[tid] = error
    return found


def ended(attempt: int, status: int, seconds: float = 0.5) -> words.Done:
    """The worker has stopped it, for this reason."""
    return words.Done([attempt], [status], [seconds], [0], [b""])


def running(cluster: Driver, **options: Any) -> tuple[int, int]:
    """A task that runs on A, by id and attempt."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], **options)
    (attempt,) = cluster.run_of(A)
    return first, attempt


# ---------------------------------------------------------------- while it waits


@pytest.mark.parametrize("how", ["ready", "waiting"])
def test_what_waits_is_over_at_its_deadline(cluster: Driver, how: str) -> None:
    """And not before; so is what needs it. It says that it had not begun."""
    first = cluster.client()
    if how == "waiting":
        cluster.submit(first + 10, [b"input"])
    deps = [[first + 10]] if how == "waiting" else None
    cluster.submit(first, [b"a"], deps, deadline=5.0)
    cluster.submit(first + 1, [b"b"], [[first]])
    assert cluster.core.due_at == 5.0
    expire(cluster, 4.999)
    assert cluster.heard(CLIENT) == []
    expire(cluster, 0.001)
    found = errors(cluster.heard(CLIENT))
    assert found.keys() == {first, first + 1}
    assert (found[first].phase, found[first].ran_for, found[first].host) == ("queued", 0.0, "")
    assert "had not begun when its deadline of 5 s was over" in str(found[first])
    cluster.tell(CLIENT, words.Release([first, first + 1, first + 10]))
    assert cluster.at_rest()
    assert cluster.core.due_at == math.inf


def test_what_was_asked_for_is_named(cluster: Driver) -> None:
    """Though less was left when the scheduler, or another one, heard of it."""
    first, attempt = running(cluster, deadline=2.0, asked=60.0)
    cluster.submit(first + 1, [b"b"], [[first]])
    expire(cluster, 2.0)
    cluster.tell(A, ended(attempt, words.OVERDUE))
    found = errors(cluster.heard(CLIENT))
    assert "within its deadline of 60 s: it had run for 0.50 s" in str(found[first])
    cluster.submit(first + 2, [b"c"], workers=["w11"], deadline=0.0, asked=0.025)
    expire(cluster, 1.0)
    assert "its deadline of 0.025 s was over" in str(errors(cluster.heard(CLIENT))[first + 2])


def test_nothing_is_there_for_tasks_without_limits(cluster: Driver) -> None:
    """No table has a row, no message a column, nobody is woken."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"] * 3)
    run = cluster.run(A)
    state = cluster.core.state
    assert not (run.timeouts)
    assert not (run.deadlines)
    assert not (run.ways)
    assert not (state.limits)
    assert not (state.due)
    assert not (state.late)
    assert not (state.loosened)
    assert cluster.core.due_at == math.inf


def test_the_tick_looks_too(cluster: Driver) -> None:
    """Whoever calls it."""
    first = cluster.client()
    cluster.submit(first, [b"a"], deadline=1.0)
    cluster.tick(2.0)
    assert errors(cluster.heard(CLIENT)).keys() == {first}


def test_a_deadline_of_nothing_is_over_at_once(cluster: Driver) -> None:
    """It may be what is left of another."""
    first = cluster.client()
    cluster.submit(first, [b"a"], deadline=0)
    expire(cluster, 0.0)
    assert errors(cluster.heard(CLIENT)).keys() == {first}


def test_very_many_are_ended_in_slices(cluster: Driver) -> None:
    """The scheduler hears others meanwhile; nobody is forgotten or told twice."""
    first = cluster.client()
    cluster.submit(first, [b"a"] * 3500, deadline=1.0)
    cluster.now = 1.0
    cluster.core.expire(1.0)
    assert cluster.core.busy
    assert cluster.core.due_at == math.inf
    cluster.core.expire(1.0)
    cluster.settle()
    assert len(errors(cluster.heard(CLIENT))) == 3500
    assert not cluster.core.state.limits


def test_the_heap_does_not_keep_what_has_ended(cluster: Driver) -> None:
    """Deadlines of an hour do not cost an hour's memory."""
    first = cluster.client()
    cluster.worker(A)
    for number in range(300):
        cluster.submit(first + number, [b"a"], deadline=3600.0)
        cluster.done(A, cluster.run_last(A))
        cluster.tell(CLIENT, words.Release([first + number]))
    assert len(cluster.core.state.due) < 100
    assert cluster.core.due_at == math.inf


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": 0}, {"timeout": -1.0}, {"timeout": "5s"}, {"timeout": math.inf},
        {"deadline": -1.0}, {"deadline": math.nan}, {"deadline": True}, {"deadline": math.inf},
        {"deadline": 1.0, "asked": -1.0}, {"deadline": 1.0, "asked": "5s"},
    ],
)  # fmt: skip
def test_limits_are_checked(cluster: Driver, options: dict[str, Any]) -> None:
    """A client that says such a thing is let go."""
    first = cluster.client()
    with pytest.raises(Misuse, match=max(options, key=len)):
        cluster.submit(first, [b"a"], **options)


# ---------------------------------------------------------------- with a worker


def test_a_worker_is_told_what_is_left(cluster: Driver) -> None:
    """Of those without a limit that there is none."""
    first = cluster.client()
    cluster.submit(first, [b"a"])
    cluster.submit(first + 1, [b"b"], deadline=5.0, on_cancel=words.KILL)
    cluster.submit(first + 2, [b"c"], timeout=7.0)
    cluster.now = 2.0
    cluster.worker(A, nthreads=3)
    run = cluster.run(A)
    assert run.timeouts == [math.inf, math.inf, 7.0]
    assert run.deadlines == [math.inf, 3.0, math.inf]
    assert run.ways == [words.INTERRUPT, words.KILL, words.INTERRUPT]


def test_what_has_not_begun_is_asked_back(cluster: Driver) -> None:
    """It ends as queued when it comes; if it had begun, its worker says how it ended."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a", b"b"], deadline=5.0)
    begun, queued = cluster.run_of(A)
    expire(cluster, 5.0)
    assert cluster.heard(A) == [words.Recall([begun, queued])]
    cluster.tell(A, words.Returned([queued]))
    cluster.tell(A, ended(begun, words.OVERDUE, 4.5))
    found = errors(cluster.heard(CLIENT))
    assert found[first + 1].phase == "queued"
    assert (found[first].phase, found[first].ran_for) == ("running", 4.5)
    assert "had run for 4.50 s on worker w10" in str(found[first])
    cluster.tell(CLIENT, words.Release([first, first + 1]))
    assert cluster.at_rest()


def test_what_ran_for_too_long_is_over(cluster: Driver) -> None:
    """It says for how long, and where."""
    first, attempt = running(cluster, timeout=2.0)
    cluster.tell(A, ended(attempt, words.TIMED_OUT, 2.25))
    error = errors(cluster.heard(CLIENT))[first]
    assert (error.phase, error.ran_for) == ("running", 2.25)
    assert "was not done within its timeout of 2 s: it had run for 2.25 s" in str(error)
    assert cluster.core.state.deaths == {}


@pytest.mark.parametrize("seconds", [math.nan, -3.0, math.inf])
def test_a_broken_clock_is_not_quoted(cluster: Driver, seconds: float) -> None:
    """For how long it ran is not known then."""
    first, attempt = running(cluster, timeout=2.0)
    cluster.tell(A, ended(attempt, words.TIMED_OUT, seconds))
    error = errors(cluster.heard(CLIENT))[first]
    assert error.ran_for is None
    assert "it was running on worker w10" in str(error)


def test_retries_are_for_the_timeout_of_a_run_and_not_for_the_deadline(cluster: Driver) -> None:
    """Each run has its timeout; the deadline is for all of them together."""
    first, attempt = running(cluster, timeout=2.0, retries=2, deadline=10.0)
    cluster.now = 3.0
    cluster.tell(A, ended(attempt, words.TIMED_OUT))
    run = cluster.run_last(A)
    assert (run.timeouts, run.deadlines) == ([2.0], [7.0])
    cluster.now = 6.0
    cluster.tell(A, ended(run.attempts[0], words.OVERDUE))
    assert errors(cluster.heard(CLIENT)).keys() == {first}
    assert cluster.run_of(A) == []


def test_a_value_that_was_made_in_time_is_made_again_without_a_deadline(cluster: Driver) -> None:
    """A deadline is met once."""
    first, _ = running(cluster, deadline=5.0)
    cluster.done(A, words.Run([1 << 40 | 1], [], [], [], [], [], [], [], [], [], []), None)
    assert cluster.core.due_at == math.inf
    cluster.leave(A)
    cluster.heard(CLIENT)
    expire(cluster, 10.0)
    assert cluster.heard(CLIENT) == []
    cluster.worker(B)
    assert cluster.run(B).deadlines == []
    assert first in cluster.core.state.tasks


# ---------------------------------------------------------------- what counts


Events = list[str]
#: What happens to a running task, in order, and what its client is told in the end.
PRECEDENCE: list[tuple[Events, str]] = [
    (["value", "due"], "value"),
    (["due", "value"], "value"),
    (["due", "error"], "error"),
    (["due", "overdue"], "running"),
    (["overdue"], "running"),
    (["due", "returned"], "queued"),
    (["due", "cancel", "overdue"], "running"),
    (["due", "cancel", "stopped"], "cancelled"),
    (["cancel", "due", "stopped"], "cancelled"),
    (["cancel", "due", "overdue"], "running"),
    (["cancel", "timed out"], "running"),
    (["cancel", "due", "returned"], "cancelled"),
    (["due", "died"], "running"),
    (["due", "left"], "running"),
    (["died", "due"], "queued"),
    (["cancel", "due", "left"], "cancelled"),
    (["timed out"], "running"),
    (["due", "timed out"], "running"),
]


def happen(cluster: Driver, event: str, attempt: int) -> None:
    """One of these things happens."""
    statuses = {
        "overdue": words.OVERDUE,
        "timed out": words.TIMED_OUT,
        "stopped": words.STOPPED,
        "value": words.OK_INLINE,
        "error": words.ERROR,
    }
    match event:
        case "due":
            expire(cluster, 5.0)
        case "cancel":
            (tid,) = [task.tid for task in cluster.core.state.tasks.values() if task.attempt]
            cluster.tell(CLIENT, words.Cancel([tid], "enough"))
        case "died":
            cluster.tell(A, words.Slots(0))
            cluster.tell(A, words.RunnerDied([attempt], [], [], {"signal": 11}))
        case "left":
            cluster.leave(A)
        case "returned":
            cluster.tell(A, words.Returned([attempt]))
        case _:
            value = b"oops" if event == "error" else b"v" if event == "value" else b""
            cluster.tell(A, words.Done([attempt], [statuses[event]], [1.0], [0], [value]))


def outcomes(cluster: Driver) -> list[str]:
    """What the client was told, in a word each."""
    names: dict[type, str] = {words.Finished: "value", words.Cancelled: "cancelled"}
    found: list[str] = []
    for message in cluster.heard(CLIENT):
        if not isinstance(message, words.Failed):
            found.append(names[type(message)])
        elif message.failures == [b"oops"]:
            found.append("error")
        else:
            found += [error.phase for error in errors([message]).values()]
    return found


@pytest.mark.parametrize(("events", "expected"), PRECEDENCE)
def test_what_counts(cluster: Driver, events: Events, expected: str) -> None:
    """Its own outcome, then whichever was first of its limits and a cancellation, then loss."""
    first, attempt = running(cluster, deadline=5.0, timeout=9.0)
    for event in events:
        happen(cluster, event, attempt)
    assert outcomes(cluster) == [expected]
    if "died" in events[1:]:
        assert cluster.core.state.deaths == {}, "nobody is blamed"
    cluster.tell(CLIENT, words.Release([first]))
    assert cluster.at_rest()


# ---------------------------------------------------------------- shared by key


def shared(cluster: Driver, mine: dict[str, Any], theirs: dict[str, Any]) -> tuple[int, int]:
    """A task that two clients want, each under its own id."""
    first, others = cluster.client(), cluster.client(OTHER)
    cluster.submit(first, [b"x"], keys=["same"], **mine)
    cluster.submit(others, [b"x"], peer=OTHER, keys=["same"], **theirs)
    return first, others


@pytest.mark.parametrize("looser", [{}, {"deadline": 9.0}])
def test_each_has_his_own_deadline(cluster: Driver, looser: dict[str, Any]) -> None:
    """Who is out of time is told so; the task goes on for who is not."""
    first, others = shared(cluster, {"deadline": 5.0}, looser)
    expire(cluster, 5.0)
    assert errors(cluster.heard(CLIENT)).keys() == {first}
    assert cluster.heard(OTHER) == []
    cluster.worker(A)
    run = cluster.run(A)
    assert run.deadlines == ([4.0] if looser else [])
    cluster.done(A, run)
    assert isinstance(cluster.heard(OTHER)[-1], words.Finished)
    assert cluster.heard(CLIENT) == []
    cluster.tell(OTHER, words.Release([others]))
    cluster.tell(CLIENT, words.Release([first]))
    assert cluster.at_rest()


def test_the_last_deadline_ends_it(cluster: Driver) -> None:
    """Whoever made it."""
    first, others = shared(cluster, {"deadline": 9.0}, {"deadline": 5.0})
    expire(cluster, 5.0)
    assert errors(cluster.heard(OTHER)).keys() == {others}
    expire(cluster, 4.0)
    assert errors(cluster.heard(CLIENT)).keys() == {first}


def test_who_joins_while_it_runs_is_served(cluster: Driver) -> None:
    """It is stopped at the deadline that its worker knows, and runs again."""
    first, others = cluster.client(), cluster.client(OTHER)
    cluster.worker(A)
    cluster.submit(first, [b"x"], keys=["same"], deadline=5.0)
    (attempt,) = cluster.run_of(A)
    cluster.submit(others, [b"x"], peer=OTHER, keys=["same"])
    expire(cluster, 5.0)
    assert errors(cluster.heard(CLIENT))[first].phase == "running"
    cluster.tell(A, ended(attempt, words.OVERDUE))
    run = cluster.run_last(A)
    assert run.deadlines == []
    cluster.done(A, run)
    assert isinstance(cluster.heard(OTHER)[-1], words.Finished)


def test_who_joins_what_is_late_is_served(cluster: Driver) -> None:
    """The first is told at once that its time is up; the second gets the value."""
    first, others = cluster.client(), cluster.client(OTHER)
    cluster.worker(A)
    cluster.submit(first, [b"x"], keys=["same"], deadline=5.0)
    (attempt,) = cluster.run_of(A)
    expire(cluster, 5.0)
    assert cluster.heard(CLIENT) == []
    cluster.submit(others, [b"x"], peer=OTHER, keys=["same"])
    assert errors(cluster.heard(CLIENT)).keys() == {first}
    cluster.tell(A, words.Returned([attempt]))
    cluster.done(A, cluster.run_last(A))
    assert isinstance(cluster.heard(OTHER)[-1], words.Finished)


def test_what_is_kept_has_its_deadline_too(cluster: Driver) -> None:
    """Fire and forget is no way round it."""
    first = cluster.client()
    cluster.submit(first, [b"x"], deadline=5.0)
    cluster.tell(CLIENT, words.Keep([first]))
    cluster.tell(CLIENT, words.Release([first]))
    expire(cluster, 5.0)
    assert cluster.at_rest()


def test_what_others_need_has_its_deadline_too(cluster: Driver) -> None:
    """Its future was let go of, and something waits for its value: both are over."""
    first = cluster.client()
    cluster.submit(first, [b"x"], deadline=5.0)
    cluster.submit(first + 1, [b"y"], [[first]])
    cluster.tell(CLIENT, words.Release([first]))
    expire(cluster, 5.0)
    assert errors(cluster.heard(CLIENT)).keys() == {first + 1}


def at_rest_and_late(cluster: Driver) -> int:
    """The id of a task that nobody needed when its deadline was over."""
    first = cluster.client()
    cluster.submit(first, [b"x"], deadline=5.0)
    cluster.submit(first + 1, [b"y"], [[first]])
    cluster.tell(CLIENT, words.Cancel([first + 1], "enough"))
    cluster.tell(CLIENT, words.Release([first]))
    expire(cluster, 5.0)
    cluster.worker(A)
    cluster.heard(CLIENT)
    return first


def test_what_was_at_rest_at_its_deadline_is_over_when_it_is_needed(cluster: Driver) -> None:
    """It is not run then."""
    first = at_rest_and_late(cluster)
    cluster.submit(first + 2, [b"z"], [[first]])
    assert errors(cluster.heard(CLIENT)).keys() == {first + 2}
    assert cluster.run_of(A) == []


def test_who_wants_it_anew_has_no_deadline(cluster: Driver) -> None:
    """That was somebody else's."""
    first = at_rest_and_late(cluster)
    cluster.tell(CLIENT, words.Want([first + 2], [first]))
    assert cluster.heard(CLIENT) == []
    assert cluster.run(A).deadlines == []


def test_a_task_that_others_want_when_its_time_is_up_leaves_nothing_behind(cluster: Driver) -> None:
    """Its worker was told less time than it has now; that is forgotten with its end."""
    first, attempt = running(cluster, deadline=1.0)
    other = cluster.client(OTHER)
    expire(cluster, 2.0)
    cluster.tell(OTHER, words.Want([other], [first]))
    assert list(errors(cluster.heard(CLIENT))) == [first]
    cluster.tell(A, words.Done([attempt], [words.OK_INLINE], [1.0], [1], [b"v"]))
    assert not cluster.core.state.loosened
