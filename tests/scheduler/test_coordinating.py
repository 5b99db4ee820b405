"""Locks, semaphores, events, queues and variables at the scheduler: whose they are, and how that ends."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from tests.scheduler.test_nested import INSIDE, join, parent
from trio_dask.messages import nested, session, tasks as words
from trio_dask.messages.kept import EVENT_BYTES_MAX, VALUE_BYTES_MAX
from trio_dask.scheduler.core import coordinating, keeping, publishing
from trio_dask.scheduler.core.coordination_page import coordination_page

if TYPE_CHECKING:
    from tests.scheduler.conftest import Driver

C, OTHER, W = 1, 2, 10
_serials = count(1000)


def ask(cluster: Driver, peer: int, topic: str, **params: Any) -> int:
    """The peer asks; the serial of the question."""
    serial = next(_serials)
    cluster.tell(peer, session.Ask(serial, topic, params))
    return serial


def answers(cluster: Driver, peer: int) -> dict[int, Any]:
    """What the peer was answered since the last time, by serial; the text of a refusal."""
    found = [each for each in cluster.heard(peer) if isinstance(each, session.Answer)]
    return {each.serial: each.data if each.ok else each.data["error"] for each in found}


def lock(cluster: Driver, peer: int, token: int, *names: str) -> int:
    """The peer wants locks."""
    return ask(cluster, peer, "lock.acquire", token=token, names=list(names), need=len(names))


def empty(cluster: Driver) -> bool:
    """Whether nothing is left of anything."""
    records = cluster.core.state.records
    machines = (
        records.locks, records.semaphores, records.flags, records.queues, records.variables,
        records.tickets, records.serials, records.reading, records.topics, records.datasets,
        records.metadata,
    )  # fmt: skip
    nbytes = records.nbytes + records.topics.nbytes + records.metadata_bytes
    return sum(len(each) for each in machines) == nbytes == 0


def test_a_lock_goes_from_one_to_the_next(cluster: Driver) -> None:
    """In the order in which they have asked; each is answered when it is his turn."""
    cluster.client(C)
    cluster.client(OTHER)
    first = lock(cluster, C, 1, "x")
    second, third = lock(cluster, OTHER, 1, "x"), lock(cluster, C, 2, "x")
    assert answers(cluster, C) == {first: {}}
    assert answers(cluster, OTHER) == {}
    ask(cluster, C, "ticket.drop", token=1)
    assert answers(cluster, OTHER) == {second: {}}
    assert third not in answers(cluster, C)
    cluster.leave(OTHER)
    assert answers(cluster, C) == {third: {}}
    cluster.leave(C)
    assert empty(cluster)


@pytest.mark.parametrize("end", ["done", "died", "left", "cancelled"])
def test_what_a_task_holds_ends_with_its_attempt(cluster: Driver, end: str) -> None:
    """However that ends, and what it waits for, too."""
    tid, run = parent(cluster)
    join(cluster, run.attempts[0])
    lock(cluster, INSIDE, 1, "x", "y")
    ask(cluster, INSIDE, "semaphore.acquire", token=2, name="s", limit=1)
    ask(cluster, INSIDE, "queue.get", token=3, name="q", want=1)
    waits = [
        lock(cluster, C, 1, "y"),
        ask(cluster, C, "semaphore.acquire", token=2, name="s", limit=1),
    ]
    assert not answers(cluster, C)
    if end == "done":
        cluster.done(W, run)
    elif end == "died":
        cluster.tell(W, words.RunnerDied(run.attempts, [], [], {"signal": 9}))
    elif end == "left":
        cluster.leave(W)
    else:
        cluster.tell(C, words.Cancel([tid], "enough"))
        assert not answers(cluster, C), "it has not stopped yet"
        cluster.tell(W, words.Done(run.attempts, [words.STOPPED], [1.0], [0], [b""]))
    assert answers(cluster, C) == {serial: {} for serial in waits}
    cluster.leave(C)
    assert empty(cluster)


def test_who_gives_up_is_told_what_came_first(cluster: Driver) -> None:
    """A turn that is under way counts; else there is none to come any more."""
    cluster.client(C)
    cluster.client(OTHER)
    lock(cluster, C, 1, "x")
    waits = lock(cluster, OTHER, 1, "x")
    mine, theirs = (ask(cluster, peer, "ticket.give_up", token=1) for peer in (C, OTHER))
    assert answers(cluster, C)[mine] == {"done": True}
    assert answers(cluster, OTHER) == {waits: "it was given up", theirs: {"done": False}}
    ask(cluster, C, "ticket.drop", token=1)
    assert not answers(cluster, OTHER)
    assert empty(cluster)


@pytest.mark.parametrize(
    ("topic", "params", "done"),
    [
        ("event.wait", {"name": "e"}, True),
        ("queue.put", {"name": "q", "data": b"v"}, True),
        ("queue.get", {"name": "full", "want": 1}, True),
        ("queue.get", {"name": "empty", "want": 1}, False),
        ("variable.get", {"name": "set"}, True),
        ("variable.get", {"name": "none"}, False),
        ("semaphore.acquire", {"name": "s", "limit": 1}, True),
    ],
)
def test_giving_up_what_may_have_been_done(
    cluster: Driver, topic: str, params: dict[str, Any], done: bool
) -> None:
    """The answer is the same as to the question, if that was answered."""
    cluster.client(C)
    ask(cluster, C, "event.set", name="e")
    ask(cluster, C, "queue.put", token=100, name="full", data=b"thing")
    ask(cluster, C, "variable.set", name="set", data=b"thing")
    cluster.heard(C)
    asked = ask(cluster, C, topic, token=1, **params)
    before = answers(cluster, C).get(asked, {})
    kind = topic.partition(".")[2] if topic.startswith("queue") else topic.partition(".")[0]
    given_up = ask(cluster, C, "ticket.give_up", token=1, kind=kind)
    after = answers(cluster, C)[given_up]
    assert after == ({"done": True, **before} if done else {"done": False})


def test_what_nobody_has_read_is_not_lost_with_its_reader(cluster: Driver) -> None:
    """A client that leaves before it has said that it has an item gives it back."""
    cluster.client(C)
    cluster.client(OTHER)
    for number in range(3):
        ask(cluster, C, "queue.put", token=number, name="q", data=b"%d" % number)
    ask(cluster, OTHER, "queue.get", token=1, name="q", want=1)
    ask(cluster, OTHER, "queue.get", token=2, name="q", want=1)
    ask(cluster, OTHER, "ticket.took", token=1)
    cluster.heard(C)
    cluster.leave(OTHER)
    serial = ask(cluster, C, "queue.get", token=9, name="q", want=0)
    items = answers(cluster, C)[serial]["items"]
    assert [item["data"] for item in items] == [b"1", b"2"]
    ask(cluster, C, "ticket.took", token=9)
    assert empty(cluster)


def test_what_comes_back_is_for_who_waits(cluster: Driver) -> None:
    """The next in line is told of what somebody was given who is lost, as if it were just put."""
    cluster.client(C)
    cluster.client(OTHER)
    ask(cluster, C, "queue.put", token=1, name="q", data=b"1")
    ask(cluster, OTHER, "queue.get", token=1, name="q", want=1)
    waits = ask(cluster, C, "queue.get", token=2, name="q", want=1)
    cluster.heard(C)
    cluster.leave(OTHER)
    assert answers(cluster, C)[waits]["items"][0]["data"] == b"1"
    ask(cluster, C, "ticket.took", token=2)
    assert empty(cluster)


def test_who_is_lost_waits_for_nothing(cluster: Driver) -> None:
    """Nothing is kept for it: it has no turn, and what it brought and was not in is nobody's."""
    first = cluster.client(C)
    cluster.client(OTHER)
    cluster.worker(W)
    cluster.submit(first, [b"a"])
    tasks = cluster.core.state.tasks
    ask(cluster, OTHER, "queue.put", token=1, name="full", data=b"1", maxsize=1)
    ask(cluster, C, "queue.put", token=1, name="full", data=b"2", tids=[first])
    ask(cluster, C, "queue.get", token=2, name="empty", want=1)
    ask(cluster, C, "variable.get", token=3, name="v")
    ask(cluster, C, "event.wait", token=4, name="e")
    ask(cluster, C, "topic.listen", topics=["t"])
    cluster.done(W, cluster.run(W))
    cluster.leave(C)
    assert not tasks, "its item was not in the queue"
    page = coordination_page(cluster.core.state)
    assert page["queues"] == {"full": {"size": 1, "maxsize": 1, "getting": [], "putting": []}}
    assert not page["variables"]
    assert not page["events"]
    ask(cluster, OTHER, "queue.close", name="full")
    assert empty(cluster)


@pytest.mark.parametrize("kind", ["queue", "variable"])
def test_who_is_lost_has_read_nothing(cluster: Driver, kind: str) -> None:
    """What it was given and has not taken keeps its tasks: in the queue again, or no longer."""
    first = cluster.client(C)
    cluster.client(OTHER)
    cluster.worker(W)
    cluster.submit(first, [b"a"])
    tasks = cluster.core.state.tasks
    put, get = ("put", "get") if kind == "queue" else ("set", "get")
    ask(cluster, C, f"{kind}.{put}", token=1, name="x", data=b"v", tids=[first])
    cluster.tell(C, words.Release([first]))
    ask(cluster, OTHER, f"{kind}.{get}", token=1, name="x", want=1)
    if kind == "variable":
        ask(cluster, C, "variable.delete", name="x")
    cluster.done(W, cluster.run(W))
    assert first in tasks, "for the one who reads it"
    cluster.leave(OTHER)
    assert (first in tasks) == (kind == "queue")
    ask(cluster, C, "queue.close", name="x")
    assert not tasks
    assert empty(cluster)


def test_taking_what_was_not_given_is_nothing(cluster: Driver) -> None:
    """Who waits goes on waiting, and gets what comes."""
    cluster.client(C)
    ask(cluster, C, "ticket.took", token=1)
    serial = ask(cluster, C, "queue.get", token=1, name="q", want=1)
    ask(cluster, C, "ticket.took", token=1)
    ask(cluster, C, "queue.put", token=2, name="q", data=b"v")
    assert answers(cluster, C)[serial]["items"][0]["data"] == b"v"
    cluster.leave(C)
    assert cluster.core.state.records.queues.size("q") == 1


def test_a_bounded_queue_holds_up_who_puts(cluster: Driver) -> None:
    """Until somebody has taken something; when it is closed all who wait are told."""
    cluster.client(C)
    for number in range(3):
        ask(cluster, C, "queue.put", token=number, name="q", data=b"%d" % number, maxsize=2)
    assert len(answers(cluster, C)) == 2
    size = ask(cluster, C, "queue.size", name="q")
    got = ask(cluster, C, "queue.get", token=9, name="q", want=1)
    found = answers(cluster, C)
    assert found[size] == {"size": 2}
    assert found[got]["items"][0]["data"] == b"0"
    assert len(found) == 3
    waits = ask(cluster, C, "queue.put", token=10, name="q", data=b"more")
    ask(cluster, C, "queue.close", name="q")
    assert answers(cluster, C)[waits] == "the queue 'q' was closed"
    ask(cluster, C, "ticket.took", token=9)
    assert empty(cluster)


def test_futures_in_a_queue_keep_their_tasks(cluster: Driver) -> None:
    """From the moment they are put until the one who gets them wants them himself."""
    first = cluster.client(C)
    other = cluster.client(OTHER)
    cluster.worker(W)
    cluster.submit(first, [b"a", b"b"], keys=["mine", ""])
    ask(cluster, C, "queue.put", token=1, name="q", data=b"v", tids=[first])
    cluster.tell(C, words.Release([first, first + 1]))
    cluster.done(W, cluster.run_last(W))
    state = cluster.core.state
    assert [task.tid for task in state.tasks.values()] == [first]
    cluster.leave(C)
    assert first in state.tasks
    serial = ask(cluster, OTHER, "queue.get", token=1, name="q", want=1)
    item = answers(cluster, OTHER)[serial]["items"][0]
    assert (item["tids"], item["keys"]) == ([first], ["mine"])
    cluster.tell(OTHER, words.Want([other], [first]))
    ask(cluster, OTHER, "ticket.took", token=1)
    assert [type(each) for each in cluster.heard(OTHER)] == [words.Finished, session.Answer]
    cluster.tell(OTHER, words.Release([other]))
    assert not state.tasks
    assert empty(cluster)


def test_futures_in_a_variable_keep_their_tasks(cluster: Driver) -> None:
    """Who reads it has time to want them, even if it gets another value meanwhile."""
    first = cluster.client(C)
    cluster.worker(W)
    cluster.submit(first, [b"a", b"b"])
    waits = ask(cluster, C, "variable.get", token=1, name="v")
    ask(cluster, C, "variable.set", name="v", data=b"v", tids=[first])
    assert answers(cluster, C)[waits]["tids"] == [first]
    cluster.tell(C, words.Release([first, first + 1]))
    ask(cluster, C, "variable.set", name="v", data=b"other")
    tasks = cluster.core.state.tasks
    assert first in tasks, "for the one who reads it"
    ask(cluster, C, "ticket.took", token=1)
    for run in (each for each in cluster.heard(W) if isinstance(each, words.Run)):
        cluster.tell(W, words.Returned(run.attempts))
    assert not tasks
    ask(cluster, C, "variable.delete", name="v")
    assert empty(cluster)


def test_cancelling_spares_what_is_in_a_variable(cluster: Driver) -> None:
    """Somebody may read it: the client that cancels has a cancelled future, and that is all."""
    first = cluster.client(C)
    cluster.submit(first, [b"a"], deadline=5.0)
    ask(cluster, C, "variable.set", name="v", data=b"v", tids=[first])
    cluster.tell(C, words.Cancel([first], "enough"))
    assert first in cluster.core.state.tasks
    cluster.now = 6.0
    cluster.core.expire(cluster.now)
    cluster.settle()
    assert first in cluster.core.state.tasks
    ask(cluster, C, "variable.delete", name="v")
    assert first not in cluster.core.state.tasks


def test_a_future_that_is_late_goes_on_for_who_reads_it(cluster: Driver) -> None:
    """Its client is told that its time is up; a variable has all the time there is."""
    first = cluster.client(C)
    cluster.worker(W)
    cluster.submit(first, [b"a"], deadline=5.0)
    run = cluster.run(W)
    cluster.now = 6.0
    cluster.core.expire(cluster.now)
    cluster.settle()
    ask(cluster, C, "variable.set", name="v", data=b"v", tids=[first])
    assert any(isinstance(each, words.Failed) for each in cluster.heard(C))
    cluster.done(W, run)
    assert cluster.core.state.tasks[first].value == b"v"


def test_a_restart_leaves_what_is_kept(cluster: Driver) -> None:
    """The tasks of futures in there are forgotten, and who wants them is told so."""
    first = cluster.client(C)
    other = cluster.client(OTHER)
    cluster.worker(W)
    cluster.submit(first, [b"a"])
    ask(cluster, C, "variable.set", name="v", data=b"v", tids=[first])
    lock(cluster, OTHER, 7, "x")
    ask(cluster, C, "restart", wait=False)
    cluster.heard(OTHER)
    serial = ask(cluster, OTHER, "variable.get", token=1, name="v")
    assert answers(cluster, OTHER)[serial]["keys"] == [f"{first:x}"]
    cluster.tell(OTHER, words.Want([other], [first]))
    assert [type(each) for each in cluster.heard(OTHER)] == [words.Lost]
    assert cluster.core.state.records.locks.holder("x") is not None
    for peer in (C, OTHER):
        cluster.leave(peer)
    ask_again = cluster.client(C + 5)
    ask(cluster, C + 5, "variable.delete", name="v")
    assert ask_again
    assert empty(cluster)


def test_a_semaphore_has_one_limit(cluster: Driver) -> None:
    """As long as it is in use; when it is closed, who waits is told."""
    cluster.client(C)
    ask(cluster, C, "semaphore.acquire", token=1, name="s", limit=1)
    other = ask(cluster, C, "semaphore.acquire", token=2, name="s", limit=2)
    waits = ask(cluster, C, "semaphore.acquire", token=3, name="s", limit=1)
    value = ask(cluster, C, "semaphore.value", name="s")
    closed = ask(cluster, C, "semaphore.close", name="s")
    found = answers(cluster, C)
    assert found[other] == "semaphore 's' is in use with max_leases=1, not 2"
    assert found[value] == {"value": 1}
    assert found[waits] == "the semaphore 's' was closed"
    assert found[closed] == {"leases": 1}
    assert empty(cluster)


def test_events(cluster: Driver) -> None:
    """Who waits goes on when it is set, and who comes later need not wait."""
    cluster.client(C)
    waits = ask(cluster, C, "event.wait", token=1, name="e")
    assert not answers(cluster, C)
    ask(cluster, C, "event.set", name="e")
    later = ask(cluster, C, "event.wait", token=2, name="e")
    is_set = ask(cluster, C, "event.is_set", name="e")
    found = answers(cluster, C)
    assert (found[waits], found[later], found[is_set]) == ({}, {}, {"set": True})
    ask(cluster, C, "event.set", name="e", set=False)
    assert empty(cluster)


NONSENSE: list[tuple[str, dict[str, Any], str]] = [
    ("lock.acquire", {}, "names is a list"),
    ("lock.acquire", {"names": [], "need": 1, "token": 1}, "names is a list"),
    ("lock.acquire", {"names": [3], "need": 1, "token": 1}, "a name is text"),
    ("lock.acquire", {"names": ["x"], "need": 2, "token": 1}, "num_locks=2"),
    ("lock.acquire", {"names": ["x", "x"], "need": 2, "token": 1}, "num_locks=2"),
    ("lock.acquire", {"names": ["x"], "need": 1}, "a token is a whole number"),
    ("lock.acquire", {"names": ["x"], "need": 1, "token": [1]}, "a token is a whole number"),
    ("lock.acquire", {"names": ["x"], "need": 1, "token": 77}, "the token 77 is in use"),
    ("lock.locked", {"name": "x" * 1001}, "a name is text of at most 1000"),
    ("ticket.drop", {"token": [1]}, "a token is a whole number"),
    ("ticket.took", {"token": {}}, "a token is a whole number"),
    ("ticket.give_up", {}, "a token is a whole number"),
    ("semaphore.acquire", {"name": "s", "limit": 0, "token": 1}, "max_leases=0"),
    ("semaphore.acquire", {"name": "s", "limit": 1.5, "token": 1}, "max_leases=1.5"),
    ("semaphore.value", {}, "a name is text"),
    ("semaphore.close", {"name": None}, "a name is text"),
    ("event.wait", {"name": "e"}, "a token is a whole number"),
    ("event.set", {}, "a name is text"),
    ("event.is_set", {}, "a name is text"),
    ("queue.put", {"name": "q", "token": 1}, "a value is bytes"),
    ("queue.put", {"name": "q", "token": 1, "data": b"", "maxsize": -1}, "maxsize=-1"),
    ("queue.put", {"name": "q", "token": 1, "data": b"", "tids": [5]}, "does not know the task 5"),
    ("queue.put", {"name": "q", "token": 1, "data": b"", "tids": ["x"]}, "a value is bytes"),
    ("queue.put", {"name": "q", "token": 1, "data": b"", "tids": 3}, "a value is bytes"),
    ("queue.put", {"name": "q", "token": 1, "data": bytes(VALUE_BYTES_MAX + 1)}, "scatter it"),
    ("queue.get", {"name": "q", "token": 1, "want": -1}, "batch=-1"),
    ("queue.get", {"name": "q", "token": 1, "want": "x"}, "batch='x'"),
    ("queue.size", {}, "a name is text"),
    ("queue.close", {}, "a name is text"),
    ("variable.get", {"name": "v"}, "a token is a whole number"),
    ("variable.set", {"name": "v"}, "a value is bytes"),
    ("variable.delete", {}, "a name is text"),
    ("topic.log", {"event": b""}, "topics is a list"),
    ("topic.log", {"topics": [3], "event": b""}, "a name is text"),
    ("topic.log", {"topics": ["t"]}, "an event is at most"),
    ("topic.log", {"topics": ["t"], "event": bytes(EVENT_BYTES_MAX + 1)}, "an event is at most"),
    ("topic.listen", {"topics": []}, "topics is a list"),
    ("topic.events", {"topics": {}}, "topics is a list"),
    ("dataset.publish", {"name": "d"}, "a value is bytes"),
    ("dataset.publish", {"data": b""}, "a name is text"),
    ("dataset.get", {}, "a name is text"),
    ("dataset.unpublish", {"name": 3}, "a name is text"),
    ("metadata.set", {"tree": b""}, "a place in the metadata"),
    ("metadata.set", {"path": ["x"]}, "metadata are names"),
    ("metadata.set", {"path": ["x"], "tree": {"y": 3}}, "metadata are names"),
    ("metadata.set", {"path": ["x"] * 33, "tree": b""}, "a place in the metadata"),
    ("metadata.set", {"path": ["x"], "tree": bytes(17 << 20)}, "metadata of more than"),
    ("metadata.get", {"path": [3]}, "a name is text"),
]


@pytest.mark.parametrize(("topic", "params", "why"), NONSENSE)
def test_what_makes_no_sense_is_refused_and_leaves_nothing(
    cluster: Driver, topic: str, params: dict[str, Any], why: str
) -> None:
    """The text says what is wrong; the client stays."""
    cluster.client(C)
    lock(cluster, C, 77, "held")
    cluster.heard(C)
    serial = ask(cluster, C, topic, **params)
    assert why in answers(cluster, C)[serial]
    cluster.leave(C)
    assert empty(cluster)


def test_each_topic_is_among_those_that_are_refused() -> None:
    """So that no question goes unchecked."""
    topics = {*coordinating.ORDERS, *publishing.ORDERS} - {"dataset.list"}  # which takes nothing
    assert {topic for topic, _, _ in NONSENSE} == topics


def test_bounds(cluster: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of what is kept in all, and of what one client has."""
    monkeypatch.setattr(keeping, "TOTAL_BYTES_MAX", 1000)
    monkeypatch.setattr(coordinating, "TICKETS_MAX", 3)
    cluster.client(C)
    serials = [ask(cluster, C, "variable.set", name=n, data=bytes(400)) for n in "abc"]
    locks = [lock(cluster, C, token, "x") for token in range(4)]
    found = answers(cluster, C)
    assert found[serials[1]] == {}
    assert "1,000 is the most" in found[serials[2]]
    assert "holds or waits for 3 things already" in found[locks[3]]


def test_what_is_held_can_be_seen(cluster: Driver) -> None:
    """By whom, since when, and who waits."""
    tid, run = parent(cluster)
    join(cluster, run.attempts[0])
    cluster.tell(W, nested.Parked(run.attempts, [1]))
    cluster.now = 1.0
    lock(cluster, C, 1, "x")
    ask(cluster, C, "semaphore.acquire", token=2, name="s", limit=3)
    ask(cluster, C, "queue.put", token=3, name="q", data=b"v", maxsize=5)
    ask(cluster, C, "event.wait", token=4, name="e")
    ask(cluster, C, "variable.set", name="v", data=b"v")
    cluster.now = 4.0
    ask(cluster, INSIDE, "lock.acquire", token=0, names=["x"], need=1)
    ask(cluster, INSIDE, "event.wait", token=1, name="e")
    ask(cluster, INSIDE, "queue.get", token=2, name="none", want=1)
    ask(cluster, INSIDE, "variable.get", token=3, name="unset")
    key = cluster.core.state.key_of(cluster.core.state.tasks[tid])
    serial = ask(cluster, C, "coordination")
    page = answers(cluster, C)[serial]
    assert page == coordination_page(cluster.core.state)
    assert page["locks"]["x"]["held"] == [{"who": "client-1", "since_s": 3.0}]
    assert page["locks"]["x"]["waiting"] == [f"in {key}"]
    assert page["semaphores"]["s"]["max_leases"] == 3
    assert page["queues"]["q"] == {"size": 1, "maxsize": 5, "getting": [], "putting": []}
    assert page["events"]["e"] == {"set": False, "waiting": ["client-1", f"in {key}"]}
    assert page["variables"]["v"] == {"set": True, "waiting": []}
    serial = ask(cluster, C, "why", tid=tid)
    line = answers(cluster, C)[serial]["lines"][-1].decode()
    assert "waits for the lock 'x', which is held by client-1 for 3.0 s" in line
    assert "and 1 more" in line
