"""Events, data sets and metadata at the scheduler: who is told, what is kept, and how much of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.scheduler.test_coordinating import OTHER, C, answers, ask, empty
from tests.scheduler.test_nested import INSIDE, join, parent
from trio_dask.messages import tasks as words
from trio_dask.messages.kept import Said
from trio_dask.scheduler.coordination import topics as machine
from trio_dask.scheduler.core import publishing

if TYPE_CHECKING:
    import pytest

    from tests.scheduler.conftest import Driver


def test_events_reach_those_who_listen(cluster: Driver) -> None:
    """In one message as far as they come together; a client that has left is told nothing."""
    for peer in (C, OTHER):
        cluster.client(peer)
        ask(cluster, peer, "topic.listen", topics=["a", "b"])
        cluster.heard(peer)
    ask(cluster, C, "topic.log", topics=["a", "b", "c"], event=b"1")
    said = [each for each in cluster.heard(OTHER) if isinstance(each, Said)]
    assert said == [Said(["a", "b"], [b"1", b"1"])]
    ask(cluster, OTHER, "topic.listen", topics=["a"], listen=False)
    cluster.heard(OTHER)
    ask(cluster, C, "topic.log", topics=["a"], event=b"2")
    assert not cluster.heard(OTHER)
    cluster.leave(OTHER)
    serial = ask(cluster, C, "topic.events")
    events = answers(cluster, C)[serial]["events"]
    assert events == {"a": [b"1", b"2"], "b": [b"1"], "c": [b"1"]}


def test_what_tasks_print_reaches_clients_that_are_no_tasks(cluster: Driver) -> None:
    """Without asking for it, once each."""
    _, run = parent(cluster)
    join(cluster, run.attempts[0])
    ask(cluster, C, "topic.listen", topics=["print"])
    cluster.heard(C)
    ask(cluster, INSIDE, "topic.log", topics=["print"], event=b"text")
    assert cluster.heard(C) == [Said(["print"], [b"text"])]
    assert not any(isinstance(each, Said) for each in cluster.heard(INSIDE))


def test_events_are_forgotten_in_time(cluster: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """By number, by size, and of all topics together; and there are not too many topics."""
    monkeypatch.setattr(machine, "EVENTS_MAX", 3)
    monkeypatch.setattr(machine, "TOPIC_BYTES_MAX", 1000)
    monkeypatch.setattr(machine, "TOTAL_BYTES_MAX", 1500)
    monkeypatch.setattr(machine, "TOPICS_MAX", 3)
    cluster.client(C)
    for number in range(5):
        ask(cluster, C, "topic.log", topics=["a"], event=b"%d" % number)
    for number in range(3):
        ask(cluster, C, "topic.log", topics=["b"], event=b"%d" % number * 400)
    topics = cluster.core.state.records.topics
    assert topics.events("a") == [b"2", b"3", b"4"]
    assert topics.events("b") == [b"1" * 400, b"2" * 400]
    ask(cluster, C, "topic.log", topics=["c"], event=bytes(500))
    assert topics.events("b") == [b"2" * 400]
    assert topics.nbytes <= 1500
    serial = ask(cluster, C, "topic.log", topics=["d"], event=b"")
    assert "3 topics, which is the most" in answers(cluster, C)[serial]


def test_a_data_set_keeps_the_tasks_of_its_futures(cluster: Driver) -> None:
    """Until it is unpublished, or another one takes its place."""
    first = cluster.client(C)
    cluster.submit(first, [b"a"])
    taken = {"name": "d", "data": b"v", "tids": [first]}
    serials = [ask(cluster, C, "dataset.publish", **taken) for _ in range(2)]
    cluster.tell(C, words.Release([first]))
    got = ask(cluster, C, "dataset.get", token=1, name="d")
    names, none = ask(cluster, C, "dataset.list"), ask(cluster, C, "dataset.get", name="x", token=2)
    found = answers(cluster, C)
    assert [found[serial]["published"] for serial in serials] == [True, False]
    assert (found[got]["data"], found[names], found[none]) == (
        b"v",
        {"names": ["d"]},
        {"found": False},
    )
    ask(cluster, C, "dataset.publish", name="d", data=b"w", override=True)
    assert first in cluster.core.state.tasks, "it is being read"
    ask(cluster, C, "ticket.took", token=1)
    assert not cluster.core.state.tasks
    gone = [ask(cluster, C, "dataset.unpublish", name="d") for _ in range(2)]
    found = answers(cluster, C)
    assert [found[serial]["found"] for serial in gone] == [True, False]
    assert empty(cluster)


def test_metadata_is_counted(cluster: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes the place of something counts instead of it."""
    cluster.client(C)
    records = cluster.core.state.records
    for path, tree in (
        (["a", "b"], b"1"), (["a", "c", "d"], {"e": b"2", "f": {}}), (["a", "b", "x"], b"3"),
        (["a"], {"b": b"4"}), (["a"], b""),
    ):  # fmt: skip
        ask(cluster, C, "metadata.set", path=path, tree=tree)
        counted = sum(
            64 + len(name) + publishing.size_of(inner) for name, inner in records.metadata.items()
        )
        assert records.metadata_bytes == counted
    assert records.metadata == {"a": b""}
    serials = [ask(cluster, C, "metadata.get", path=path) for path in (["a"], ["a", "b"], ["x"])]
    found = answers(cluster, C)
    assert [found[serial] for serial in serials] == [
        {"found": True, "tree": b""},
        {"found": False},
        {"found": False},
    ]
