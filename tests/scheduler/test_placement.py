"""A placement policy of somebody's own: asked, checked, and never the end of anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.scheduler.conftest import Driver
from trio_dask.errors import ConfigError
from trio_dask.messages import tasks as words
from trio_dask.messages.fleet import Leave
from trio_dask.messages.tasks import OK_HELD
from trio_dask.scheduler import Placement, find_placement

if TYPE_CHECKING:
    from trio_dask.scheduler import TaskView, WorkerView

CLIENT, A, B = 1, 10, 11


class Elsewhere(Placement):
    """The worker that does not hold the input, and never another."""

    seen: list[dict[str, Any]]

    def __init__(self) -> None:
        self.seen = []
        self.workers: dict[str, WorkerView] = {}

    def home(self, task: TaskView) -> WorkerView | None:
        [dep] = task.inputs
        self.seen.append(
            {
                "function": task.function,
                "inputs": [(each.number, each.nbytes) for each in task.inputs],
                "holders": [each.name for each in dep.holders],
            }
        )
        others = [each for each in self.workers.values() if each not in dep.holders]
        return others[0] if others else super().home(task)

    def load_s(self, worker: WorkerView) -> float:
        self.workers[worker.name] = worker
        return super().load_s(worker)

    def is_worth_moving(self, task: TaskView, home: WorkerView, idle: WorkerView) -> bool:
        return False


def held_by(cluster: Driver, tid: int) -> str:
    """Run a task whose value stays where it was made; who that is."""
    for peer in (A, B):
        for message in cluster.heard(peer, keep=True):
            if isinstance(message, words.Run) and tid in message.tids:
                cluster.tell(
                    peer, words.Done([message.attempts[0]], [OK_HELD], [0.1], [1000], [b""])
                )
                return f"w{peer}"
    raise AssertionError(tid)


def test_a_policy_says_where_a_task_waits() -> None:
    """It sees the task, its inputs and who holds them; what it does not override is as usual."""
    policy = Elsewhere()
    cluster = Driver(placement=policy)
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"1"])
    holder = held_by(cluster, first)
    other = A if holder == "w11" else B
    cluster.heard(A), cluster.heard(B)
    cluster.submit(first + 1, [b"2"], [[first]])
    assert policy.seen == [{"function": "inc", "inputs": [(first, 1000)], "holders": [holder]}]
    assert cluster.run(other).tids == [first + 1]
    assert cluster.core.state.policy_faults == []


class Broken(Placement):
    """Nothing it says makes sense."""

    def home(self, task: TaskView) -> WorkerView | None:
        raise KeyError("lost")

    def load_s(self, worker: WorkerView) -> float:
        return float("nan")

    def is_worth_moving(self, task: TaskView, home: WorkerView, idle: WorkerView) -> bool:
        return "yes"  # type: ignore[return-value]


class Foreign(Broken):
    """It names somebody."""

    def home(self, task: TaskView) -> WorkerView | None:
        return task.inputs  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Broken(), "Broken.home: raised KeyError: 'lost'"),
        (Foreign(), "Foreign.home: (<TaskView inc-10000000000>,) is no worker that is there"),
    ],
)
def test_what_cannot_be_followed_is_told_and_not_done(policy: Placement, said: str) -> None:
    """Tasks run as usual."""
    cluster = Driver(placement=policy)
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"1"])
    holder = held_by(cluster, first)
    cluster.heard(A), cluster.heard(B)
    cluster.submit(first + 1, [b"2"], [[first]])
    assert cluster.run(A if holder == "w10" else B).tids == [first + 1]
    faults = cluster.core.state.policy_faults
    assert said in faults
    assert f"{type(policy).__name__}.load_s: nan is no number of at least 0" in faults
    for _ in range(30):
        cluster.submit(first + 2, [b"3"])
        first += 1
    assert len(faults) <= 20


def test_views_cannot_be_written_to() -> None:
    """A policy looks."""
    policy = Elsewhere()
    cluster = Driver(placement=policy)
    cluster.worker(A)
    view = policy.workers["w10"]
    with pytest.raises(AttributeError):
        view.slots = 3  # type: ignore[misc]
    view.resources["GPU"] = 7
    shown = (view.address, view.nthreads, view.slots, view.assigned, view.waiting, view.held)
    assert shown == ("tcp://host:10", 1, 1, 0, 0, 0)
    assert (view.memory_limit, view.resources, view.assigned_by_function) == (0, {}, {})


def test_a_policy_is_found_by_its_path() -> None:
    """Without one there is none."""
    assert find_placement("") is None
    assert find_placement("tests.scheduler.test_placement:Broken") is not None


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("Broken", "it is written as module:name"),
        (":Broken", "it is written as module:name"),
        ("no.such.module:Broken", "no.such.module cannot be imported: No module named 'no'"),
        ("tests.scheduler.test_placement:Nothing", "it is no subclass of"),
        ("tests.scheduler.test_placement:A", "it is no subclass of"),
        ("os:getcwd", "it is no subclass of"),
    ],
)
def test_a_path_that_leads_nowhere(path: str, why: str) -> None:
    """It is named, with what is wrong."""
    with pytest.raises(ConfigError, match=f"scheduler.placement = '{path}': {why}"):
        find_placement(path)


def test_who_is_to_leave_is_no_home() -> None:
    """A policy need not know: the task goes elsewhere, and nobody is blamed."""
    policy = Elsewhere()
    cluster = Driver(placement=policy)
    first = cluster.client()
    cluster.worker(A)
    cluster.worker(B)
    cluster.submit(first, [b"a"])
    holder = held_by(cluster, first)
    stays, leaves = (A, B) if holder == f"w{A}" else (B, A)
    cluster.tell(leaves, Leave("SIGTERM", at_once=False))
    cluster.heard(stays)
    cluster.submit(first + 1, [b"b"], [[first]])
    assert cluster.run(stays).tids == [first + 1]
    assert cluster.core.state.policy_faults == []
