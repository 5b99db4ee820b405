"""Another scheduler has what the one before has kept, from workers and from those who hold it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scheduler.reunion_driver import BEFORE, FIRST, ME, OTHER, A, B, C, D, Reunion
from tests.scheduler.test_coordinating import answers, ask
from trio_dask.messages import reunion, session, tasks as words
from trio_dask.messages.ids import first_attempt, first_id
from trio_dask.messages.reunion import (
    Announced,
    Holdings,
    Known,
    Lingering,
    Mirror,
    Mirrored,
    Tickets,
)
from trio_dask.scheduler.core import Misuse, mirroring

V = first_attempt(3)


@pytest.fixture
def town() -> Reunion:
    """Two workers and two clients are on their way back."""
    found = Reunion()
    found.client_back(C, ME)
    found.client_back(D, OTHER)
    found.worker_back(A)
    found.worker_back(B)
    for peer in (A, B, C, D):
        found.remembers(peer, workers=(A, B), clients=(ME, OTHER))
    return found


def mirror(version: int, *rows: tuple[list[Any], bytes], first: int = 1) -> Mirror:
    """What a worker has kept."""
    ids = list(range(first, first + len(rows)))
    heads, blobs = [head for head, _ in rows], [blob for _, blob in rows]
    return Mirror(version, anew=True, ids=ids, heads={"of": heads}, blobs=blobs, gone=[])


def item(name: str = "q", *tids: int, bound: int = 0) -> list[Any]:
    """The head of something in a queue."""
    return ["item", name, bound, list(tids), [f"{tid:x}" for tid in tids]]


def whole(
    town: Reunion, *workers: Mirror, tickets: dict[int, dict[str, Any]] | None = None
) -> None:
    """All have told all; the workers then say that they have the records of this scheduler."""
    for peer, message in zip((A, B), workers, strict=False):
        town.tell(peer, message)
    for peer in (A, B):
        town.tell(peer, Announced(1, []))
    for peer, held in (tickets or {}).items():
        town.tell(peer, Tickets(held))
    for peer in (C, D):
        town.tell(peer, Announced(0, []))
    confirm(town)


def confirm(town: Reunion) -> None:
    """Workers have what they were told to keep."""
    for peer in (A, B):
        mirrors = [each for each in town.heard(peer) if isinstance(each, Mirror)]
        if mirrors:
            town.tell(peer, Mirrored(mirrors[-1].version))


def asked(town: Reunion, peer: int, topic: str, **params: Any) -> Any:
    """What the client is told."""
    serial = ask(town, peer, topic, **params)
    confirm(town)
    return answers(town, peer).get(serial)


def get(town: Reunion, token: int, peer: int = C) -> list[bytes]:
    """What is in the queue."""
    found = asked(town, peer, "queue.get", token=token, name="q", want=0)
    return [each["data"] for each in found["items"]]


def test_the_latest_is_what_there_is(town: Reunion) -> None:
    """Of what the other worker has nothing counts, and what both have is there once."""
    late = mirror(V + 3, (item(), b"2"), (["flag", "e"], b""), first=2)
    whole(town, mirror(V + 2, (item(), b"1"), (item(), b"2")), late)
    assert get(town, 1) == [b"2"]
    assert asked(town, C, "event.is_set", name="e") == {"set": True}
    assert town.core.state.mirrors.version >= first_attempt(4)


def test_all_kinds_come_back(town: Reunion) -> None:
    """With the bound of a queue, which nobody has told."""
    rows = (
        (["variable", "v", [], []], b"value"), (["dataset", "d", [], []], b"data"),
        (["metadata", ["a"], {"b": b"1"}], b""), (["metadata", ["a", "b", "c"], b"2"], b""),
        (["bound", "q", 2], b""), (item(bound=2), b"1"),
    )  # fmt: skip
    whole(town, mirror(V + 1, *rows))
    assert asked(town, C, "variable.get", token=1, name="v")["data"] == b"value"
    assert asked(town, C, "dataset.get", token=2, name="d")["data"] == b"data"
    assert asked(town, C, "metadata.get", path=["a"])["tree"] == {"b": {"c": b"2"}}
    assert asked(town, C, "queue.put", token=3, name="q", data=b"2") == {}
    assert asked(town, C, "queue.put", token=4, name="q", data=b"3") is None  # it is full
    assert town.core.state.records.queues.bound("q") == 2


def test_what_newcomers_have_put_meanwhile_is_there_as_well() -> None:
    """They were faster than all who come back, and what they have is not taken for what there was."""
    town = Reunion(clients_from=1024)
    town.core.client_joined(D, session.RegisterClient("new"), town.now)
    town.settle()
    path = {"path": ["a"], "tree": b"2"}
    for topic, params in (
        ("queue.put", {"token": 1, "name": "q", "data": b"new", "maxsize": 9}),
        ("event.set", {"name": "e"}), ("metadata.set", path),
    ):  # fmt: skip
        assert ask(town, D, topic, **params) in answers(town, D)
    town.worker_back(A)
    town.remembers(A, clients=())
    rows = (
        (item(bound=9), b"1"), (["flag", "e"], b""), (["bound", "q", 9], b""),
        (["metadata", ["a"], b"1"], b""),
    )  # fmt: skip
    town.tell(A, mirror(V, *rows))
    town.tell(A, Announced(1, []))
    assert get(town, 2, D) == [b"new", b"1"]
    asked(town, D, "ticket.took", token=2)
    assert asked(town, D, "event.is_set", name="e") == {"set": True}
    assert asked(town, D, "metadata.get", path=["a"])["tree"] == b"1"
    kinds = [head[0] for head, _, _ in town.core.state.mirrors.rows.values()]
    assert sorted(kinds) == ["bound", "flag", "metadata"]


def test_what_was_begun_goes_on(town: Reunion) -> None:
    """Some keeps are not whole: such a worker counts if nobody has more."""
    whole(town, mirror(0, (item(), b"1")), mirror(V, (item(), b"1"), (item(), b"2")))
    assert get(town, 1) == [b"1", b"2"]


def test_what_somebody_has_is_his(town: Reunion) -> None:
    """It is given to nobody else until he is gone, and when he says that he took it, it is."""
    rows = mirror(V, *((item(), b"%d" % number) for number in range(4)))
    held = {C: {"items": [[7, "q", [1, 3], []]]}, D: {"items": [[7, "q", [2], []]]}}
    whole(town, rows, tickets=held)
    assert get(town, 1) == [b"3"]
    took = ask(town, C, "ticket.took", token=7)
    town.tick(1.0)
    confirm(town)
    assert answers(town, C) == {took: {}}
    town.leave(D)
    assert get(town, 2) == [b"1"]
    assert [head[0] for head, _, _ in town.core.state.mirrors.rows.values()].count("item") == 2


@pytest.mark.parametrize("end", ["took", "lost"])
def test_what_somebody_reads_is_wanted_still(town: Reunion, end: str) -> None:
    """The variable has another value by now: the task of the one before is kept for its reader."""
    tid = first_id(ME)
    rows = mirror(V, (["variable", "v", [], []], b"other"), (item("q", tid), b"1"))
    whole(town, rows, tickets={C: {"reading": [[7, [tid]]]}})
    close = ask(town, D, "queue.close", name="q")
    confirm(town)
    assert answers(town, D) == {close: {}}
    assert tid in town.core.state.tasks
    if end == "took":
        ask(town, C, "ticket.took", token=7)
    else:
        town.leave(C)
    assert tid not in town.core.state.tasks
    assert not town.core.state.records.reading


def test_what_is_done_is_not_done_again(town: Reunion) -> None:
    """A put and a write that were answered, when the answer was not heard."""
    marks = (["mark", ME, 5, {}], b""), (["mark", ME, 6, {"published": True}], b"")
    whole(town, mirror(V, (item(), b"1"), *marks))
    put = {"token": 1, "name": "q", "data": b"1"}
    town.tell(C, session.Ask(5, "queue.put", put))
    town.tell(C, session.Ask(6, "dataset.publish", {"name": "d", "data": b"x"}))
    town.tell(D, session.Ask(5, "queue.put", put | {"data": b"2"}))  # another client's
    confirm(town)
    assert answers(town, C) == {5: {}, 6: {"published": True}}
    assert get(town, 2) == [b"1", b"2"]
    assert not town.core.state.records.datasets


def test_who_gave_up_is_told_that_it_was_done(town: Reunion) -> None:
    """He asks both again: for it, and what came first."""
    whole(town, mirror(V, (item(), b"1"), (["mark", ME, 5, {}], b"")))
    town.tell(C, session.Ask(5, "queue.put", {"token": 1, "name": "q", "data": b"1"}))
    assert asked(town, C, "ticket.give_up", token=1, kind="put") == {"done": True}
    assert get(town, 2) == [b"1"]


def test_leases_are_those_who_come_back_have(town: Reunion) -> None:
    """Others wait, in turn; who does not come back has none any more."""
    locks = {"locks": [[1, ["x", "y"]]], "semaphores": [[2, "s", 2]]}
    whole(town, tickets={C: locks})
    waits = ask(town, D, "lock.acquire", token=1, names=["y"], need=1)
    free = ask(town, D, "lock.acquire", token=2, names=["z"], need=1)
    assert answers(town, D) == {free: {}}
    assert asked(town, D, "semaphore.value", name="s") == {"value": 1}
    ask(town, C, "ticket.drop", token=1)
    assert answers(town, D) == {waits: {}}


def test_who_comes_too_late_has_what_nobody_else_has(town: Reunion) -> None:
    """His lock is another's by now, and his other lock is not."""
    for peer in (A, B):
        town.tell(peer, Announced(1, []))
    town.tell(D, Announced(0, []))
    town.leave(C)
    town.tick(20.0)
    mine = ask(town, D, "lock.acquire", token=1, names=["x"], need=1)
    assert answers(town, D) == {mine: {}}
    again = session.RegisterClient("late", "the secret of the late", ME, BEFORE, 3)
    town.core.client_joined(99, again, town.now)
    town.tell(99, Tickets({"locks": [[1, ["x"]], [2, ["y"]]]}))
    town.tell(99, Announced(0, []))
    waits = ask(town, D, "lock.acquire", token=2, names=["y"], need=1)
    assert answers(town, D) == {}
    town.leave(99)
    assert answers(town, D) == {waits: {}}


@pytest.mark.parametrize("end", ["over", "gone", "late"])
def test_no_lock_is_given_before_tasks_are_over_that_may_have_it(town: Reunion, end: str) -> None:
    """Their clients are lost; but what clients hold that are back is theirs."""
    town.tell(A, Lingering([V + 1, V + 2]))
    town.tell(B, Lingering([]))
    whole(town, tickets={C: {"locks": [[1, ["x"]]]}})
    waits = ask(town, D, "lock.acquire", token=1, names=["y"], need=1)
    lease = ask(town, D, "semaphore.acquire", token=2, name="s", limit=1)
    next_ = ask(town, D, "lock.acquire", token=3, names=["y"], need=1)
    gives_up = ask(town, D, "ticket.give_up", token=3, kind="lock")
    ask(town, C, "ticket.drop", token=1)
    town.tell(A, Lingering([V + 2]))
    assert answers(town, D) == {gives_up: {"done": False}, next_: "it was given up"}
    if end == "over":
        town.tell(A, Lingering([]))
    elif end == "gone":
        town.leave(A)
    else:
        town.tick(31.0)
    assert answers(town, D) == {waits: {}, lease: {}}
    assert not town.core.state.mirrors.lingering


# ---------------------------------------------------------------- tasks


def test_values_that_only_the_cluster_wants(town: Reunion) -> None:
    """Are there, where a worker holds them; a small one is with the record; of others it is said why not."""
    held, small, failed, lost = (first_id(3) + row for row in range(4))
    rows = (
        (["dataset", "d", [held, small, failed, lost], ["mine", "a", "b", "c"]], b"x"),
        (["value", small, 4], b"small"), (["value", failed, 5], b"oops"),
        (["value", first_id(3) + 99, 4], b"nobody's"),
    )  # fmt: skip
    town.tell(A, Holdings([held], [1000]))
    whole(town, mirror(V, *rows))
    state = town.core.state
    assert [state.tasks[tid].state for tid in (held, small, failed, lost)] == [4, 4, 5, 7]
    assert state.tasks[small].value == b"small"
    assert state.keys["mine"].tid == held
    assert first_id(3) + 99 not in state.mirrors.values
    assert not any(isinstance(each, words.Free) for each in town.heard(A))
    town.tell(C, words.Want([FIRST + 50, FIRST + 51], [held, lost]))
    ends = [each for each in town.heard(C) if isinstance(each, words.Finished | words.Lost)]
    assert [each.tids for each in ends] == [[FIRST + 50], [FIRST + 51]]
    asked(town, C, "dataset.unpublish", name="d")
    town.tell(C, words.Release([FIRST + 50, FIRST + 51]))
    assert town.at_rest()


def test_tasks_that_their_client_describes_are_those(town: Reunion) -> None:
    """They run, and what the cluster keeps refers to them."""
    town.tell(A, mirror(V, (["variable", "v", [FIRST], ["x"]], b"x")))
    town.tell(A, Announced(1, []))
    town.tell(B, Announced(1, []))
    town.tell(D, Announced(0, []))
    town.describes([b"1"])
    town.tell(C, words.Release([FIRST]))
    assert town.core.state.tasks[FIRST].also
    town.done(A, town.run_last(A))
    assert town.core.state.tasks[FIRST].state == 4


@pytest.mark.parametrize("status", [reunion.FAILED, reunion.CANCELLED, reunion.LOST])
def test_a_bad_end_that_a_client_knows_is_one_to_it(town: Reunion, status: int) -> None:
    """Others may have the value: it is kept for them, and the client wants it no more."""
    town.tell(
        A, mirror(V, (["variable", "v", [FIRST], ["x"]], b"x"), (["value", FIRST, 4], b"small"))
    )
    for peer in (A, B):
        town.tell(peer, Announced(1, []))
    town.tell(D, Announced(0, []))
    town.describes([b"1"], (FIRST, status, b"why"))
    task = town.core.state.tasks[FIRST]
    assert (task.value, task.wanted) == (b"small", False)
    assert not any(isinstance(each, words.Finished) for each in town.heard(C))
    town.tell(C, words.Release([FIRST]))
    assert town.core.state.tasks[FIRST].value == b"small"
    asked(town, D, "variable.delete", name="v")
    assert town.at_rest()


def test_futures_of_others_come_back(town: Reunion) -> None:
    """Who has a future of another's task waits for it again, also if the other is gone."""
    theirs, gone, mine = first_id(OTHER), first_id(9), first_id(ME)
    town.tell(A, Holdings([gone], [1000]))
    town.tell(D, words.Functions([theirs], ["inc"], [b"INC"]))
    town.tell(D, words.Submit(theirs, [theirs], [b"1"], [], [], [], [], True, {}))
    tids = [mine, mine + 1, mine + 2]
    town.tell(C, Known(tids[1:2], [reunion.HELD], [b""], [gone]))
    town.tell(C, words.Want(tids, [theirs, gone, gone + 1]))
    whole(town)
    said = town.heard(C)
    assert [each.tids for each in said if isinstance(each, words.Lost)] == [[mine + 2]]
    assert town.core.state.tasks[mine + 1].state == 4
    workers = [peer for peer in (A, B) if town.window(peer)]
    attempts = list(town.window(workers[0]))
    town.tell(workers[0], words.Done(attempts, [words.OK_INLINE], [0.1], [1], [b"v"]))
    (finished,) = [each for each in town.heard(C) if isinstance(each, words.Finished)]
    assert (finished.tids, finished.sources) == ([mine], [theirs])


# ---------------------------------------------------------------- who says what cannot be


@pytest.mark.parametrize(
    "head",
    [
        "item", [], [3], ["what"], ["item"], ["item", "q", 0, [1], []], ["item", "q", -1, [], []],
        ["item", "q" * 2000, 0, [], []], ["item", "q", 0, ["1"], ["x"]], ["flag"], ["flag", 3],
        ["flag", "e", "e"], ["metadata", [], b""], ["metadata", ["a"], {"b": 3}],
        ["metadata", ["a"], 3], ["value", 1, 1], ["value", "1", 4], ["mark", 1, 1, []],
        ["bound", "q", "3"], ["variable", "v", [1], 3],
    ],
)  # fmt: skip
def test_a_record_that_nobody_has_written(town: Reunion, head: Any) -> None:
    """Whoever tells it is let go, and nobody else notices."""
    with pytest.raises(Misuse, match="record"):
        town.core.handle(A, mirror(V, (head, b"")), 0.0)
    town.leave(A)
    town.remembers(B, workers=(B,), clients=(ME, OTHER))
    town.tell(B, mirror(V, (item(), b"1")))


@pytest.mark.parametrize(
    "message",
    [
        mirror(-1), mirror(1 << 62), mirror(V, (item(), b""), first=0),
        Mirror(V, anew=True, ids=[1], heads={}, blobs=[b""], gone=[]),
        Mirror(V, anew=True, ids=[1], heads={"of": 3}, blobs=[b""], gone=[]),
    ],
)  # fmt: skip
def test_records_that_cannot_be(town: Reunion, message: Mirror) -> None:
    """Whoever tells them is let go."""
    with pytest.raises(Misuse, match="record"):
        town.core.handle(A, message, 0.0)


@pytest.mark.parametrize(
    "held",
    [
        {"what": []}, {"locks": 3}, {"locks": [3]}, {"locks": [[]]}, {"locks": [["1", ["x"]]]},
        {"locks": [[1, []]]}, {"locks": [[1, "x"]]}, {"locks": [[1, ["x"], 1]]},
        {"semaphores": [[1, "s", 0]]}, {"items": [[1, "q", ["x"], []]]}, {"reading": [[1, ["x"]]]},
    ],
)  # fmt: skip
def test_tickets_that_nobody_has(town: Reunion, held: dict[str, Any]) -> None:
    """Who says so is let go when all are back; others have what they have."""
    for peer in (A, B):
        town.tell(peer, Announced(1, []))
    town.tell(D, Tickets({"locks": [[1, ["x"]]]}))
    town.tell(C, Tickets(held))
    town.tell(D, Announced(0, []))
    town.core.handle(C, Announced(0, []), 0.0)
    bad = town.core.work()
    assert [peer for peer, _ in bad] == [C]
    assert town.core.state.records.locks.holder("x") is not None


def test_two_who_have_one_lock(town: Reunion) -> None:
    """One of them was given up before: it is another's."""
    whole(town, tickets={C: {"locks": [[1, ["x"]]]}, D: {"locks": [[1, ["x", "y"]]]}})
    assert ask(town, D, "lock.acquire", token=2, names=["y"], need=1) in answers(town, D)


def test_a_mirror_is_nothing_that_is_said_later(town: Reunion) -> None:
    """When all is as usual, workers do not tell any."""
    whole(town)
    with pytest.raises(Misuse):
        town.core.handle(A, mirror(V), 0.0)
    assert mirroring.HOLDERS == 2
