"""Why a task is where it is: a row for every state that a task can be in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.scheduler.test_nested import INSIDE, join, parent, submit
from trio_dask.messages import fleet, nested, session, tasks as words
from trio_dask.messages.failure import Failure
from trio_dask.messages.ids import first_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scheduler.conftest import Driver

C, A, B = 1, 10, 11
FIRST = first_id(1)
ERROR = Failure("builtins.ValueError", "no such thing").to_bytes()


def why(cluster: Driver, tid: int, *, peer: int = C) -> tuple[str, dict[str, Any]]:
    """What the scheduler answers: the sentences, and the facts."""
    cluster.heard(peer)
    cluster.tell(peer, session.Ask(99, "why", {"tid": tid}))
    (answer,) = (each for each in cluster.heard(peer) if isinstance(each, session.Answer))
    assert answer.ok
    assert answer.data["facts"]["phase"]
    return b" ".join(answer.data["lines"]).decode(), answer.data["facts"]


# ---------------------------------------------------------------- the table


def waiting_for_a_running_input(cluster: Driver, first: int) -> int:
    """Waiting for a running input."""
    cluster.worker(A, nthreads=2)
    return cluster.submit(first, [b"a"] * 3, [[], [first], [first, first + 1]])[2]


def a_value_without_worker(cluster: Driver, first: int) -> int:
    """A value without worker."""
    cluster.tell(C, words.Put([first], [10], [], broadcast=False))
    return first


def a_value_under_way(cluster: Driver, first: int) -> int:
    """A value under way."""
    cluster.worker(A)
    return a_value_without_worker(cluster, first)


def a_value_for_workers_that_are_not_here(cluster: Driver, first: int) -> int:
    """A value for workers that are not here."""
    cluster.worker(A)
    cluster.tell(C, words.Put([first], [10], ["x", "y"], broadcast=False))
    return first


def a_value_whose_worker_is_to_leave(cluster: Driver, first: int) -> int:
    """A value whose worker is to leave."""
    cluster.worker(A)
    cluster.worker(B)
    cluster.tell(A, fleet.Leave("it is told to", at_once=False))
    cluster.tell(C, words.Put([first], [10], ["w10"], broadcast=False))
    return first


def no_worker(cluster: Driver, first: int) -> int:
    """No worker."""
    return cluster.submit(first, [b"a"])[0]


def workers_asked_for_are_not_here(cluster: Driver, first: int) -> int:
    """Workers asked for are not here."""
    cluster.worker(A)
    return cluster.submit(first, [b"a"], workers=["x", "y"])[0]


def a_resource_that_nobody_has(cluster: Driver, first: int) -> int:
    """A resource that nobody has."""
    cluster.worker(A)
    cluster.worker(B, resources={"GPU": 1.0})
    return cluster.submit(first, [b"a"], resources={"GPU": 2})[0]


def a_resource_in_use(cluster: Driver, first: int) -> int:
    """A resource in use."""
    cluster.worker(A, nthreads=4, resources={"GPU": 1.0})
    return cluster.submit(first, [b"a"] * 2, resources={"GPU": 1})[1]


def a_resource_at_another_worker(cluster: Driver, first: int) -> int:
    """A resource at another worker."""
    cluster.worker(A, resources={"GPU": 1.0})
    cluster.worker(B)
    return cluster.submit(first, [b"a"], workers=["w11"], resources={"GPU": 1})[0]


def no_process(cluster: Driver, first: int) -> int:
    """No process."""
    cluster.worker(A)
    cluster.tell(A, words.Slots(0))
    return cluster.submit(first, [b"a"])[0]


def no_process_where_it_may_run(cluster: Driver, first: int) -> int:
    """No process where it may run."""
    cluster.worker(B)
    cluster.worker(A)
    cluster.tell(A, words.Slots(0))
    return cluster.submit(first, [b"a"], workers=["w10"])[0]


def all_are_paused(cluster: Driver, first: int) -> int:
    """All are paused."""
    cluster.worker(A)
    cluster.tell(A, words.Slots(0))
    cluster.tell(A, session.Heartbeat({"paused": True}))
    return cluster.submit(first, [b"a"])[0]


def one_is_kept_for_another(cluster: Driver, first: int) -> int:
    """One is kept for another."""
    cluster.worker(A, nthreads=2)
    cluster.submit(first, [b"a", b"b"])
    one, _ = cluster.run_of(A)
    cluster.tell(A, words.RunnerDied([one], [], [], {"signal": 9, "oom": True}))
    return cluster.submit(first + 2, [b"c"])[0]


def only_one_that_is_to_leave(cluster: Driver, first: int) -> int:
    """Only one that is to leave."""
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.tell(A, fleet.Leave("it is told to", at_once=False))
    return cluster.submit(first + 1, [b"a"], workers=["w10"])[0]


def in_line(cluster: Driver, first: int) -> int:
    """In line."""
    cluster.worker(A)
    return cluster.submit(first, [b"a"] * 10)[8]


def in_line_at_home(cluster: Driver, first: int) -> int:
    """In line at home."""
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.tell(A, words.Done(cluster.run_of(A), [words.OK_HELD], [1.0], [1 << 30], [b""]))
    return cluster.submit(first + 1, [b"a"] * 9, [[first]] * 9)[8]


def in_line_where_an_input_is_stuck(cluster: Driver, first: int) -> int:
    """In line where an input is stuck."""
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"a"], workers=["w10"])
    cluster.tell(A, words.Done(cluster.run_of(A), [words.OK_HELD], [1.0], [1 << 30], [b""]))
    cluster.submit(first + 1, [b"b"], [[first]], workers=["w11"])
    run = cluster.run(B)
    cluster.tell(B, words.Pinned(run.attempts, [first], [f"tcp://host:{A}"], [ERROR]))
    return cluster.submit(first + 2, [b"x"] * 50, [[first]] * 50)[-1]


def in_line_where_the_worker_is_to_leave(cluster: Driver, first: int) -> int:
    """In line where the worker is to leave."""
    tid = in_line_where_an_input_is_stuck(cluster, first)
    cluster.tell(A, fleet.Leave("it is told to", at_once=False))
    return tid


def to_run_alone(cluster: Driver, first: int) -> int:
    """To run alone."""
    cluster.worker(A, nthreads=2)
    cluster.submit(first, [b"a", b"b"])
    one, _ = cluster.run_of(A)
    cluster.tell(A, words.RunnerDied([one], [], [], {"signal": 9, "oom": True}))
    return first


def sent(cluster: Driver, first: int) -> int:
    """Sent."""
    cluster.worker(A)
    tid = cluster.submit(first, [b"a"])[0]
    cluster.now += 3
    return tid


def sent_behind_another(cluster: Driver, first: int) -> int:
    """Sent behind another."""
    cluster.worker(A)
    return cluster.submit(first, [b"a"] * 2)[1]


def a_plugin_is_being_set_up(cluster: Driver, first: int) -> int:
    """A plugin is being set up."""
    cluster.worker(A)
    cluster.tell(C, session.Ask(7, "plugin.register", {"name": "p", "data": b"P"}))
    return cluster.submit(first, [b"a"])[0]


def asked_back(cluster: Driver, first: int) -> int:
    """Asked back."""
    tid = sent_behind_another(cluster, first)
    cluster.worker(B)
    cluster.tick(1.0)
    return tid


def running(cluster: Driver, first: int) -> int:
    """Running."""
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.now += 7
    cluster.tell(A, words.Running(cluster.run_of(A), [5.0]))
    cluster.now += 1
    return first


def parked(cluster: Driver, first: int) -> int:
    """Parked."""
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.tell(A, nested.Parked(cluster.run_of(A), [1]))
    return first


def being_cancelled(cluster: Driver, first: int) -> int:
    """Being cancelled."""
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.tell(C, words.Cancel([first], "enough"))
    return first


def late(cluster: Driver, first: int) -> int:
    """Late."""
    cluster.worker(A)
    cluster.submit(first, [b"a"], deadline=2.0)
    cluster.now += 3
    cluster.core.expire(cluster.now)
    return first


def sent_to_a_process_of_its_own(cluster: Driver, first: int) -> int:
    """Sent, and what runs it is to be started."""
    cluster.worker(A)
    cluster.submit(first, [b"a"], apart=True)
    return first


def done(cluster: Driver, first: int) -> int:
    """Done."""
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A))
    return first


def done_and_held(cluster: Driver, first: int) -> int:
    """Done and held."""
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    cluster.done(A, cluster.run(A), None)
    return first


def failed(cluster: Driver, first: int) -> int:
    """Failed."""
    cluster.worker(A)
    cluster.submit(first, [b"a"], retries=1)
    for _ in range(2):
        cluster.fail(A, cluster.run_last(A), ERROR)
    return first


def failed_at_length(cluster: Driver, first: int) -> int:
    """With more to say than is shown."""
    cluster.worker(A)
    cluster.submit(first, [b"x"])
    cluster.fail(A, cluster.run(A), Failure("builtins.ValueError", "so " * 400).to_bytes())
    return first


def failed_with_its_input(cluster: Driver, first: int) -> int:
    """Failed with its input."""
    cluster.worker(A)
    cluster.submit(first, [b"a", b"b"], [[], [first]])
    cluster.fail(A, cluster.run(A), ERROR)
    return first + 1


def killed(cluster: Driver, first: int) -> int:
    """Killed."""
    cluster.worker(A)
    cluster.submit(first, [b"a"])
    for _ in range(4):
        cluster.tell(A, words.RunnerDied(cluster.run_of(A), [], [], {"signal": 11}))
        cluster.tell(A, words.Slots(1))
    return first


def cancelled(cluster: Driver, first: int) -> int:
    """Cancelled."""
    cluster.submit(first, [b"a"])
    cluster.tell(C, words.Cancel([first], "enough"))
    return first


def lost(cluster: Driver, first: int) -> int:
    """Lost."""
    cluster.worker(A)
    cluster.tell(C, words.Put([first], [10], [], broadcast=False))
    cluster.tell(A, words.Stored([first], [10]))
    cluster.leave(A)
    return first


def resting(cluster: Driver, first: int) -> int:
    """Resting."""
    cluster.submit(first, [b"a", b"b"], [[], [first]])
    cluster.tell(C, words.Release([first]))
    cluster.tell(C, words.Cancel([first + 1], ""))
    return first


def unknown(cluster: Driver, first: int) -> int:
    """Unknown."""
    cluster.submit(first, [b"a"])
    cluster.tell(C, words.Release([first]))
    return first


TABLE: list[tuple[Callable[[Driver, int], int], str, list[str]]] = [
    (waiting_for_a_running_input, "inputs", ["2 inputs", "(assigned)", "(waiting)", "In the end"]),
    (a_value_without_worker, "awaited", ["no worker yet"]),
    (a_value_under_way, "awaited", ["bringing this value to w10"]),
    (a_value_for_workers_that_are_not_here, "awaited", ["Only x, y may keep this value", "none of these is here: w10."]),
    (a_value_whose_worker_is_to_leave, "awaited", ["all who may keep it are to leave: w10"]),
    (no_worker, "no workers", ["no worker at all"]),
    (workers_asked_for_are_not_here, "no worker may", ["Only x, y may run it", "w10: is not among"]),
    (a_resource_that_nobody_has, "no worker may", ["no worker has that much", "GPU=1 in all", "w10: has no GPU"]),
    (a_resource_in_use, "no worker may", ["all of it is in use", "GPU=0 free of 1"]),
    (a_resource_at_another_worker, "no worker may", ["w11: has no GPU", "w10: is not among"]),
    (no_process, "no worker may", ["being started", "w10: has no process"]),
    (no_process_where_it_may_run, "no worker may", ["that may run it have no process", "w10: has no process", "w11: is not among"]),
    (all_are_paused, "no worker may", ["No worker takes it at the moment", "w10: is paused"]),
    (one_is_kept_for_another, "no worker may", ["No worker takes it at the moment", "w10: is kept for"]),
    (only_one_that_is_to_leave, "no worker may", ["w10: is to leave"]),
    (in_line, "queued", ["1 slot on 1 worker", "8 tasks in line", "6 tasks of these come before", "inc (2)"]),
    (in_line_at_home, "at home", ["a place at w10", "in line there"]),
    (in_line_where_an_input_is_stuck, "at home", ["a place at w10", f"cannot run elsewhere: inc-{FIRST:x} cannot leave"]),
    (in_line_where_the_worker_is_to_leave, "at home", ["w10 is to leave"]),
    (to_run_alone, "alone", ["want of memory", "w10 is kept for it"]),
    (sent, "sent", ["w10 3.0 s ago", "runs, or is about to"]),
    (sent_to_a_process_of_its_own, "sent", ["runs 1 task at once", "a process of its own there"]),
    (sent_behind_another, "sent", ["1 task given to that worker come before it"]),
    (a_plugin_is_being_set_up, "sent", ["not begun there waits for plugins: p (set up)"]),
    (asked_back, "sent", ["asked back, to run elsewhere", "1 task given to that worker come before it"]),
    (running, "running", ["running there for 6.0 s"]),
    (parked, "parked", ["given up its slot"]),
    (being_cancelled, "being cancelled", ["being stopped for client-1: enough"]),
    (late, "late", ["deadline of 2.0 s is over"]),
    (done, "done", ["1 future of clients", "with the scheduler"]),
    (done_and_held, "done", ["The value is at w10"]),
    (failed, "failed", ["ValueError: no such thing", "again 1 of 1 time"]),
    (failed_at_length, "failed", ["ValueError: so so", "so …."]),
    (failed_with_its_input, "failed", ["ValueError: no such thing", "that of 1 input"]),
    (killed, "failed", ["KilledWorker", "4 processes ended"]),
    (cancelled, "cancelled", ["cancelled by client-1: enough"]),
    (lost, "lost", ["lost: its only holder", "which alone can bring it again"]),
    (resting, "resting", ["Nobody needs its value"]),
    (unknown, "unknown", ["does not know", "forgotten"]),
]  # fmt: skip


@pytest.mark.parametrize(("make", "phase", "says"), TABLE, ids=[each[0].__name__ for each in TABLE])
def test_each_state_has_an_answer(
    cluster: Driver, make: Callable[[Driver, int], int], phase: str, says: list[str]
) -> None:
    """In words that name what it hangs on, and as facts."""
    first = cluster.client()
    tid = make(cluster, first)
    text, facts = why(cluster, tid)
    assert facts["phase"] == phase, text
    for each in says:
        assert each in text, text


def test_what_a_task_has_submitted_holds_it_up(cluster: Driver) -> None:
    """The parent waits for children, and some of them are named."""
    tid, run = parent(cluster)
    first = join(cluster, run.attempts[0])
    cluster.tell(A, nested.Parked(run.attempts, [1]))
    submit(cluster, first, [b"a"] * 5)
    text, facts = why(cluster, tid)
    assert facts["phase"] == "parked"
    assert facts["children"] == 5
    assert f"inc-{first:x} (assigned)" in text
    assert "and 2 more" in text
    assert why(cluster, first, peer=INSIDE)[1]["phase"] == "sent"


def test_asked_for_by_key(cluster: Driver) -> None:
    """A key of the user's, an automatic one, one that failed and is forgotten, and nonsense."""
    first = cluster.client()
    cluster.worker(A)
    cluster.submit(first, [b"a"], keys=["mine"])
    for key in ("mine", f"inc-{first + 1:x}"):
        cluster.tell(C, session.Ask(1, "why", {"key": key}))
    cluster.fail(A, cluster.run(A), ERROR)
    cluster.tell(C, words.Release([first]))
    for params in ({"key": "mine"}, {}, {"key": 3, "tid": "x"}):
        cluster.tell(C, session.Ask(1, "why", params))
    found = [
        (answer.data["state"], answer.data["lines"][-1].decode())
        for answer in cluster.heard(C)
        if isinstance(answer, session.Answer)
    ]
    assert [state for state, _ in found] == ["assigned", "unknown", "unknown", "unknown", "unknown"]
    assert "failed before: ValueError: no such thing" in found[2][1]
    assert not cluster.core.state.cancellers


def test_a_long_line_and_a_deep_chain_are_cut(cluster: Driver) -> None:
    """Nothing is listed that grows with the cluster."""
    first = cluster.client()
    cluster.worker(A)
    chain = cluster.submit(first, [b"a"] * 3000, [[], *([n + first] for n in range(2999))])
    text, facts = why(cluster, chain[-1])
    assert facts["phase"] == "inputs"
    text, facts = why(cluster, chain[900])
    assert facts["root"] == f"inc-{first:x}"
    assert facts["depth"] == 900
    assert "900 inputs further back" in text
    many = cluster.submit(first + 3000, [b"a"] * 50)
    other = cluster.submit(first + 3050, [b"a"], priority=-1)
    text, facts = why(cluster, other[0])
    assert facts["ahead"] == facts["in_line"] - 1
    assert why(cluster, many[49])[1]["ahead"] == facts["ahead"] - 1
    assert len(text) < 1000


def test_numbers_of_clients_are_no_tasks(cluster: Driver) -> None:
    """An id that nobody has given yet."""
    cluster.client()
    assert why(cluster, first_id(7))[1] == {"phase": "unknown", "failed": False}
