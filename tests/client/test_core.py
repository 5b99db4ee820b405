"""The client's core, without loops or pickles."""

from __future__ import annotations

from typing import Any

from trio_dask.client.core import (
    FINISHED,
    LOST,
    PENDING,
    AllDone,
    ClientCore,
    EachDone,
    Rows,
    group,
)
from trio_dask.client.core.storing import SMALL_BYTES, STORE_BYTES_MAX
from trio_dask.messages import Message, Payload, reunion, tasks
from trio_dask.messages.ids import first_id
from trio_dask.messages.session import Answer, Ask, Resumed, Welcome
from trio_dask.messages.values import ABSENT, FOUND, Fetch, Store, StoreDone, Values

FIRST = first_id(3)


def new_core() -> ClientCore:
    """A registered client, number 3."""
    core = ClientCore("test")
    core.handle([Welcome(3, "cluster", 1)])
    return core


def told(core: ClientCore) -> list[Message]:
    """What goes to the scheduler."""
    return core.flush()[0]


def submitted(core: ClientCore, count: int, **columns: Any) -> list[int]:
    """That many tasks of one function."""
    rows = Rows(args=[b"a"] * count, **columns)
    _, first = core.submit(core.function("f", b"blob"), rows, {})
    return list(range(first, first + count))


def finished(tids: list[int], value: bytes = b"v", places: str = "") -> tasks.Finished:
    """The scheduler's word that these are done."""
    at = [0 if places else -1] * len(tids)
    return tasks.Finished(
        tids, [1] * len(tids), [b"" if places else value] * len(tids), at, [places]
    )


def test_calls_join_until_they_do_not_fit() -> None:
    """Same options and consecutive ids make one message; inputs and functions are columns."""
    core = new_core()
    f, g = core.function("f", b"f"), core.function("g", b"g")
    core.submit(f, Rows(args=[b"1"]), {})
    core.submit(g, Rows(args=[b"2"], dep_counts=[1], dep_tids=[FIRST]), {})
    core.submit(f, Rows(args=[b"3"]), {"priority": 1})
    core.submit(f, Rows(args=[b"4"], keys=["k"]), {"priority": 1})
    assert [each for each in told(core) if isinstance(each, tasks.Submit)] == [
        tasks.Submit(FIRST, [f.fid, g.fid], [b"1", b"2"], [0, 1], [FIRST], [], [], True, {}),
        tasks.Submit(FIRST + 2, [f.fid], [b"3"], [], [], [], [], True, {"priority": 1}),
        tasks.Submit(FIRST + 3, [f.fid], [b"4"], [], [], ["k"], [], True, {"priority": 1}),
    ]


def test_a_key_that_was_let_go_is_used_again() -> None:
    """The scheduler hears of its release first: else it would take both for one task."""
    core = new_core()
    [first] = submitted(core, 1, keys=["k"])
    core.table.drops.append(first)
    submitted(core, 1, keys=["k"])
    kinds = [type(each) for each in told(core) if not isinstance(each, tasks.Functions)]
    assert kinds == [tasks.Submit, tasks.Release, tasks.Submit]


def test_same_function_is_sent_once() -> None:
    """And forgotten with the last of its tasks."""
    core = new_core()
    tids = submitted(core, 300) + submitted(core, 300)
    kinds = [type(each) for each in told(core)]
    assert kinds.count(tasks.Functions) == 1
    core.release(tids[:300])
    assert [type(each) for each in told(core)] == [tasks.Release]
    core.release(tids[300:])
    assert tasks.ForgetFunctions([FIRST]) in told(core)


def test_large_arguments_make_short_messages() -> None:
    """A message ends at about two megabytes."""
    core = new_core()
    core.submit(core.function("f", b""), Rows(args=[bytes(1 << 20)] * 300), {})
    sizes = [len(each.args) for each in told(core) if isinstance(each, tasks.Submit)]
    assert max(sizes) == 2


def test_scheduler_is_not_flooded() -> None:
    """No more than the window is under way; answers to the markers let the rest out."""
    core = new_core()
    core.submit(core.function("f", b""), Rows(args=[bytes(1 << 20)] * 300), {})
    rows = rounds = 0
    while messages := told(core):
        rounds += 1
        rows += sum(len(each.args) for each in messages if isinstance(each, tasks.Submit))
        core.handle([Answer(each.serial, True, {}) for each in messages if isinstance(each, Ask)])
    assert rows == 300
    assert rounds > 5


def test_watchers_of_rows_and_batches() -> None:
    """Each is told of its own rows, once."""
    core = new_core()
    tids = submitted(core, 300)
    batch = core.table.find(tids[0])
    assert batch is not None
    woken: list[str] = []
    whole = AllDone(300, lambda: woken.append("whole"))
    some = AllDone(2, lambda: woken.append("some"))
    each = EachDone(lambda: woken.append("each"))
    core.watch(whole, group((batch, tid) for tid in tids))
    core.watch(some, group((batch, tid) for tid in tids[:2]))
    core.watch(each, group((batch, tid) for tid in tids))
    core.handle([finished(tids[:1])])
    assert woken == ["each"]
    core.handle([finished(tids[1:3])])
    assert woken == ["each", "each", "some"]
    core.unwatch(some)
    core.unwatch(each)
    core.handle([finished(tids[3:])])
    assert woken[3:] == ["whole"]
    assert list(each.tids) == tids[:3]
    assert not batch.row_watches


def test_late_words_about_released_tasks_are_ignored() -> None:
    """And so are words about tasks that never were."""
    core = new_core()
    tids = submitted(core, 3)
    core.release(tids[:1])
    batch = core.table.find(tids[0])
    assert batch is not None
    core.handle([finished([*tids, 5, FIRST + 999]), tasks.Again([tids[0], 7])])
    assert [batch.values[row] for row in range(3)] == [None, b"v", b"v"]
    assert batch.pending == 0


def test_value_can_be_lost_and_made_again() -> None:
    """A finished task may become pending, or lost, without being counted twice."""
    core = new_core()
    tids = submitted(core, 2)
    batch = core.table.find(tids[0])
    assert batch is not None
    core.handle([finished(tids), tasks.Again(tids[:1]), tasks.Again(tids[:1])])
    assert (batch.pending, batch.status[0]) == (1, PENDING)
    core.handle([finished(tids[:1]), tasks.Lost(tids[1:], "gone")])
    assert (batch.pending, list(batch.status)) == (0, [FINISHED, LOST])


def test_drops_wake_once() -> None:
    """For a burst of futures; whoever comes after the flush wakes again."""
    core = new_core()
    tids, woken = submitted(core, 5), list[int]()
    drops = core.table.drops
    drops.wake = lambda: woken.append(1)
    for tid in tids[:4]:
        drops.append(tid)
    assert tasks.Release(tids[:4]) in told(core)
    drops.append(tids[4])
    assert woken == [1, 1]
    core.end("over")
    drops.append(tids[4])
    assert not drops.tids


def test_what_is_dropped_may_have_to_run_to_its_end() -> None:
    """Unless it is over: then it is just let go of."""
    core = new_core()
    tids = submitted(core, 3)
    core.handle([finished(tids[:1])])
    for tid in (~tids[0], ~tids[1], tids[2]):
        core.table.drops.append(tid)
    said = told(core)
    kept, released = tasks.Keep(tids[1:2]), tasks.Release(tids)
    assert said[-2:] == [kept, released]


def test_fetch_goes_on_elsewhere() -> None:
    """One message for each worker; what is absent or unreachable is sought at the next place."""
    core = new_core()
    tids, woken = submitted(core, 3), list[int]()
    core.handle([finished(tids, places="a b")])
    request = core.request([(tid, "a b") for tid in tids], lambda: woken.append(1))
    [(address, fetch)] = core.flush()[1]
    assert isinstance(fetch, Fetch)
    assert (address, fetch.tids) == ("a", tids)
    core.handle_data(
        "a", [Values(fetch.serial, tids[:2], [FOUND, ABSENT], [], [b"one"], last=False)]
    )
    core.data_lost("a", "gone")
    others = [each for at, each in core.flush()[1] if at == "b" and isinstance(each, Fetch)]
    assert [each.tids for each in others] == [[tids[1]], [tids[2]]]
    core.handle_data("b", [Values(others[0].serial, [tids[1]], [FOUND], [], [b"two"], last=True)])
    assert woken == []
    core.data_lost("b", "gone")
    assert woken == [1]
    assert request.payloads == {tids[0]: b"one", tids[1]: b"two"}
    assert told(core) == [tasks.Unreachable([tids[2]], "b")]


def test_what_was_made_again_and_is_here_is_not_looked_for() -> None:
    """The worker that had it is lost after the scheduler has sent the value itself."""
    core = new_core()
    [tid], woken = submitted(core, 1), list[int]()
    core.handle([finished([tid], places="a")])
    request = core.request([(tid, "a")], lambda: woken.append(1))
    core.handle([tasks.Again([tid]), finished([tid], b"anew")])
    told(core)
    core.data_lost("a", "gone")
    assert woken == [1]
    assert request.payloads == {}
    assert told(core) == []
    batch = core.table.find(tid)
    assert batch is not None
    assert (batch.status[tid - batch.first], batch.values[tid - batch.first]) == (FINISHED, b"anew")


def test_one_fetch_serves_all() -> None:
    """Whoever asks while a value is on its way waits for it; who leaves is forgotten."""
    core = new_core()
    tids, woken = submitted(core, 1), list[str]()
    core.handle([finished(tids, places="a")])
    first = core.request([(tids[0], "a")], lambda: woken.append("first"))
    core.request([(tids[0], "a")], lambda: woken.append("second"))
    core.abandon(first)
    [(_, fetch)] = core.flush()[1]
    assert isinstance(fetch, Fetch)
    core.handle_data("a", [Values(fetch.serial, tids, [FOUND], [], [b"v"], last=True)])
    core.handle_data("a", [Values(fetch.serial, tids, [FOUND], [], [b"v"], last=True)])
    assert woken == ["second"]


def test_values_are_asked_for_by_the_ids_that_workers_know() -> None:
    """Two futures of one key are one value, which another client made first."""
    core = new_core()
    tids = submitted(core, 2, keys=["k", "k"])
    core.flush()
    other = first_id(9)
    word = tasks.Finished(tids, [1, 1], [b"", b""], [0, 0], ["a"], [other, other])
    core.handle([word])
    woken: list[int] = []
    request = core.request([(tid, "a") for tid in tids], lambda: woken.append(1))
    (sent,) = core.flush()[1]
    fetch = sent[1]
    assert isinstance(fetch, Fetch)
    assert fetch.tids == [other]
    core.handle_data("a", [Values(fetch.serial, [other], [FOUND], [], [b"v"], last=True)])
    assert request.payloads == dict.fromkeys(tids, b"v")
    assert woken == [1]


def test_a_value_that_is_made_again_may_have_another_id() -> None:
    """It is asked for by the one that workers know now."""
    core = new_core()
    tids = submitted(core, 1, keys=["k"])
    core.handle([tasks.Finished(tids, [1], [b""], [0], ["a"], [first_id(9)])])
    core.handle([tasks.Again(tids), tasks.Finished(tids, [1], [b""], [0], ["b"], [])])
    core.request([(tids[0], "b")], lambda: None)
    (sent,) = core.flush()[1]
    assert isinstance(sent[1], Fetch)
    assert sent[1].tids == tids


def test_what_is_looked_for_is_told_to_another_scheduler() -> None:
    """A value that was put is described by nothing else."""
    core = ClientCore("test", secret="the secret of this client")
    core.handle([Welcome(3, "cluster", 1)])
    [(_, tid)] = core.put([b"v"])
    core.flush()
    core.handle([finished([tid], places="a")])
    core.request([(tid, "a")], lambda: None)
    core.flush()
    core.data_lost("a", "it is gone")
    assert told(core) == [tasks.Unreachable([tid], "a")]
    core.lost()
    core.handle([Resumed(-1), Welcome(3, "cluster", 2)])
    known = [each for each in told(core) if isinstance(each, reunion.Known)]
    assert known == [reunion.Known([tid], [reunion.SOUGHT], [b""], [tid])]


def test_a_function_is_not_forgotten_before_its_next_use() -> None:
    """The last batch that used it may go when the next one begins."""
    core = new_core()
    tids = submitted(core, 1)
    core.release(tids)
    submitted(core, 1000)
    said = [type(each) for each in told(core)]
    assert tasks.ForgetFunctions not in said


def test_small_values_go_before_large_ones_but_not_for_ever() -> None:
    """What is scattered in between much else is there soon; of each message large ones have half."""
    core = new_core()
    large, small = bytes(STORE_BYTES_MAX // 4), b"s"
    placed = core.put([*[large] * 6, small, small])
    tids = [tid for _, tid in placed]
    core.flush()
    core.handle([tasks.PutAt(tids, [0] * 8, ["a"])])

    def sent() -> list[int]:
        [(_, store)] = core.flush()[1]
        assert isinstance(store, Store)
        core.handle_data("a", [StoreDone(store.serial, "")])
        return store.tids

    assert sent() == [*tids[6:], *tids[:4]]
    few: list[Payload] = [bytes(SMALL_BYTES - 1)] * (STORE_BYTES_MAX // SMALL_BYTES)
    more = [tid for _, tid in core.put(few)]
    core.handle([tasks.PutAt(more, [0] * len(more), ["a"])])
    assert sent() == tids[4:6]  # it was on its way
    assert sent() == more


def test_stores_go_one_after_the_other() -> None:
    """The next message to a worker waits for its word on the last one."""
    core = new_core()
    placed = core.put([bytes(30 << 20)] * 3)
    tids = [tid for _, tid in placed]
    assert isinstance(told(core)[0], tasks.Put)
    core.handle([tasks.PutAt(tids, [0, 0, 0], ["a"])])
    [(_, store)] = core.flush()[1]
    assert isinstance(store, Store)
    assert store.tids == tids[:2]
    core.handle_data("a", [StoreDone(store.serial, "")])
    [(_, store)] = core.flush()[1]
    assert isinstance(store, Store)
    assert store.tids == tids[2:]
    core.data_lost("a", "gone")
    again = [each.tids for each in told(core) if isinstance(each, tasks.Put)]
    assert sorted(again) == [[tid] for tid in tids]  # the scheduler never said it has any


def test_the_end_wakes_everybody() -> None:
    """Waits, questions and fetches."""
    core = new_core()
    tids, woken = submitted(core, 2), list[str]()
    batch = core.table.find(tids[0])
    assert batch is not None
    core.watch(AllDone(1, lambda: woken.append("watch")), {batch: [0]})
    core.ask("info", {}, lambda answer: woken.append(str(answer.ok)))
    core.request([(tids[1], "a")], lambda: woken.append("fetch"))
    core.end("over")
    core.end("twice")
    assert core.ended == "over"
    assert woken == ["False", "watch", "fetch"]
