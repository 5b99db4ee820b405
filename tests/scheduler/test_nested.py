"""Clients inside tasks, as the scheduler sees them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scheduler.conftest import Driver
from trio_dask.messages import Message, decode, encode, nested, session, tasks as words
from trio_dask.messages.ids import first_id
from trio_dask.scheduler.core import Misuse, nests
from trio_dask.scheduler.core.nests import NUMBERS_MAX
from trio_dask.scheduler.inside import Inside

W, C, INSIDE = 10, 1, -1


def number_for(driver: Driver, peer: int = W) -> tuple[int, int]:
    """A number for a client inside a task of this worker, and its first id."""
    driver.tell(peer, nested.NumbersWanted(1))
    (numbers,) = [each for each in driver.heard(peer) if isinstance(each, nested.Numbers)]
    return numbers.numbers[0], numbers.firsts[0]


def join(driver: Driver, attempt: int, peer: int = INSIDE, at: int = W) -> int:
    """A task has a client; the first id that it gives."""
    number, first = number_for(driver, at)
    driver.core.nested_joined(peer, at, nested.NestedJoin(attempt, number))
    driver.tell(peer, words.Functions([first, first + 1], ["inc", "add"], [b"INC", b"ADD"]))
    return first


def parent(driver: Driver, **options: Any) -> tuple[int, words.Run]:
    """A client, a worker with one slot, and a task that runs there; its id and its attempt."""
    first = driver.client(C)
    driver.worker(W)
    driver.submit(first, [b"parent"], **options)
    return first, driver.run(W)


def submit(driver: Driver, first: int, args: list[bytes], **options: Any) -> None:
    """The client inside submits."""
    fid = first
    driver.tell(INSIDE, words.Submit(first, [fid], args, [], [], [], [], True, options))


def test_a_task_that_waits_makes_room(cluster: Driver) -> None:
    """Its child is given to the only slot of the only worker."""
    _, run = parent(cluster)
    first = join(cluster, run.attempts[0])
    cluster.tell(W, nested.Parked(run.attempts, [1]))
    submit(cluster, first, [b"a", b"b", b"c"])
    # Without the parent there is room for one more than there are slots.
    assert cluster.run_of(W) == [run.attempts[0] + 1, run.attempts[0] + 2]


def test_who_goes_on_counts_again(cluster: Driver) -> None:
    """And the load with it."""
    _, run = parent(cluster)
    worker = cluster.core.state.workers["tcp://host:10"]
    cluster.tell(W, nested.Parked(run.attempts, [1]))
    assert not worker.load
    cluster.tell(W, nested.Parked([*run.attempts, 77], [0, 1]))
    assert list(worker.load.values()) == [1]
    cluster.tell(W, nested.Parked(run.attempts, [1]))
    cluster.done(W, run)
    assert not worker.parked
    assert not worker.load


def test_who_goes_on_may_be_one_too_many() -> None:
    """What was given meanwhile is not asked back."""
    cluster = Driver(window_max=1)
    tid, run = parent(cluster)
    first = join(cluster, run.attempts[0])
    cluster.tell(W, nested.Parked(run.attempts, [1]))
    cluster.submit(tid + 1, [b"parent, too"])
    other = cluster.run(W)
    join(cluster, other.attempts[0], INSIDE - 1)
    cluster.tell(W, nested.Parked(other.attempts, [1]))
    submit(cluster, first, [b"a"])
    child = cluster.run_of(W)
    cluster.tell(W, nested.Parked([*run.attempts, *other.attempts], [0, 0]))
    worker = cluster.core.state.workers["tcp://host:10"]
    assert list(worker.window) == [*run.attempts, *other.attempts, *child]
    assert not worker.parked
    assert not cluster.heard(W)


@pytest.mark.parametrize("end", ["done", "failed", "died", "left"])
def test_a_client_ends_with_its_attempt(cluster: Driver, end: str) -> None:
    """However that ends: what only it wanted is let go of, and it is told goodbye."""
    tid, run = parent(cluster)
    first = join(cluster, run.attempts[0])
    cluster.tell(W, nested.Parked(run.attempts, [1]))
    submit(cluster, first, [b"a", b"b", b"c"])
    child = cluster.run_of(W)
    cluster.heard(INSIDE)
    if end == "done":
        cluster.done(W, run)
    elif end == "failed":
        cluster.fail(W, run)
    elif end == "died":
        cluster.tell(W, words.RunnerDied(run.attempts, child, [], {"signal": 9}))
    else:
        cluster.leave(W)
    assert [type(each) for each in cluster.heard(INSIDE)] == [session.Goodbye]
    assert len(cluster.core.state.clients) == 1
    tids = {task.tid for task in cluster.core.state.tasks.values()}
    if end in ("done", "failed"):
        stopped = [each for each in cluster.heard(W) if isinstance(each, words.Interrupt)]
        assert [attempt for each in stopped for attempt in each.attempts] == child
        assert tids <= {tid, first, first + 1}, "what has not begun is forgotten"
    else:
        assert tids == {tid}, "the parent runs again, without its children"


def test_who_waits_when_memory_runs_out_is_not_run_alone(cluster: Driver) -> None:
    """It counts as any other death: others would run beside it while it waits."""
    tid, run = parent(cluster)
    cluster.tell(W, nested.Parked(run.attempts, [1]))
    cluster.tell(W, words.RunnerDied(run.attempts, [], [], {"signal": 9, "oom": True}))
    deaths = cluster.core.state.deaths[tid]
    assert (deaths.unexplained, deaths.starved) == (1, 0)


def test_what_it_says_after_its_end_is_not_heard(cluster: Driver) -> None:
    """There is nobody."""
    _, run = parent(cluster)
    first = join(cluster, run.attempts[0])
    cluster.done(W, run)
    submit(cluster, first, [b"a"])
    assert first not in cluster.core.state.tasks


def test_kept_children_go_on(cluster: Driver) -> None:
    """Fire and forget."""
    _, run = parent(cluster)
    first = join(cluster, run.attempts[0])
    submit(cluster, first, [b"a"])
    cluster.tell(INSIDE, words.Keep([first]))
    cluster.done(W, run)
    assert first in cluster.core.state.tasks
    cluster.done(W, cluster.run_last(W))
    assert first not in cluster.core.state.tasks


def test_numbers_are_used_again_and_ids_are_not(cluster: Driver) -> None:
    """The next client with the number begins above what the last one has used."""
    tid, run = parent(cluster)
    first = join(cluster, run.attempts[0])
    submit(cluster, first, [b"a"] * 5)
    cluster.done(W, run)
    cluster.done(W, cluster.run_last(W))
    cluster.submit(tid + 1, [b"next"])
    number, again = number_for(cluster)
    assert (number, again) == (2, first + 5)
    assert first == first_id(2)


def test_children_come_first(cluster: Driver) -> None:
    """Before what users have submitted, with their parent's priority and their own on top."""
    tid, run = parent(cluster, priority=3)
    cluster.submit(tid + 1, [b"top"] * 3, priority=3)
    first = join(cluster, run.attempts[0])
    submit(cluster, first, [b"low"], priority=-1)
    submit(cluster, first + 1, [b"child"])
    tasks = cluster.core.state.tasks
    ranks = [tasks[each].rank for each in (first + 1, tid + 1, first)]
    assert ranks == sorted(ranks)
    deeper = nests.nest_of(None, 1, tasks[first + 1].rank, 0)  # type: ignore[arg-type]
    assert (deeper.priority, deeper.depth) == (3, 2)
    top = nests.nest_of(None, 1, tasks[tid].rank, 0)  # type: ignore[arg-type]
    assert (top.priority, top.depth) == (3, 1)


def test_values_are_stored_where_the_task_runs(cluster: Driver) -> None:
    """And only those that are the client's own."""
    _, run = parent(cluster)
    cluster.worker(11)
    first = join(cluster, run.attempts[0])
    cluster.heard(INSIDE)
    cluster.tell(INSIDE, words.Put([first], [100], [], False))
    (put_at,) = cluster.heard(INSIDE)
    assert isinstance(put_at, words.PutAt)
    assert put_at.places == ["tcp://host:10"]
    cluster.tell(W, nested.NestedStored(run.attempts[0], [first, 5], [100, 1]))
    assert [each.tids for each in cluster.heard(W) if isinstance(each, words.Free)] == [[5]]
    assert [type(each) for each in cluster.heard(INSIDE)] == [words.Finished]
    cluster.tell(W, nested.NestedStored(77, [first], [100]))  # of no client
    assert [each.tids for each in cluster.heard(W) if isinstance(each, words.Free)] == [[first]]


@pytest.mark.parametrize(
    ("attempt", "number", "why"),
    [
        (7, 0, "given this attempt up"),
        (0, 77, "77 is no number for a client of a task of w10"),
    ],
)
def test_who_cannot_join(cluster: Driver, attempt: int, number: int, why: str) -> None:
    """Not for a task that is not there, nor with any number."""
    _, run = parent(cluster)
    mine, _ = number_for(cluster)
    said = nested.NestedJoin(attempt or run.attempts[0], number or mine)
    with pytest.raises(Misuse, match=why):
        cluster.core.nested_joined(INSIDE, W, said)
    with pytest.raises(Misuse, match="only workers"):
        cluster.core.nested_joined(INSIDE, C, said)


def test_one_client_a_task(cluster: Driver) -> None:
    """Not two."""
    _, run = parent(cluster)
    join(cluster, run.attempts[0])
    number, _ = number_for(cluster)
    with pytest.raises(Misuse, match="already"):
        cluster.core.nested_joined(-2, W, nested.NestedJoin(run.attempts[0], number))


@pytest.mark.parametrize("count", [0, -1, NUMBERS_MAX + 1, 1 << 62])
def test_too_many_numbers(cluster: Driver, count: int) -> None:
    """A worker cannot have them all."""
    cluster.worker(W)
    with pytest.raises(Misuse, match="numbers"):
        cluster.core.handle(W, nested.NumbersWanted(count), 0.0)


def test_numbers_of_runners_that_have_ended_come_back(cluster: Driver) -> None:
    """However many ask, use none, and die: the worker stays, and the last ones are good."""
    _, run = parent(cluster)
    for _ in range(3 * NUMBERS_MAX // 1000):
        cluster.tell(W, nested.NumbersWanted(1000))
    cluster.heard(W)
    assert len(next(iter(cluster.core.state.workers.values())).numbers) <= NUMBERS_MAX
    assert cluster.core.state.clients_ever < 2 * NUMBERS_MAX
    join(cluster, run.attempts[0])


@pytest.mark.parametrize("message", [
    lambda first: words.Functions([first - 1], ["f"], [b"f"]),
    lambda first: words.Submit(first - 1, [first], [b"a"], [], [], [], [], True, {}),
    lambda first: words.Want([first - 1], [first_id(1)]),
    lambda first: words.Put([first - 1], [1], [], False),
])  # fmt: skip
def test_ids_of_an_earlier_life_are_refused(cluster: Driver, message: Any) -> None:
    """They were somebody else's."""
    tid, run = parent(cluster)
    first = join(cluster, run.attempts[0])
    submit(cluster, first, [b"a"] * 5)
    cluster.done(W, run)
    cluster.done(W, cluster.run_last(W))
    cluster.submit(tid + 1, [b"next"])
    first = join(cluster, cluster.run_last(W).attempts[0], peer=-2)
    with pytest.raises(Misuse):
        cluster.core.handle(-2, message(first), 0.0)


# ---------------------------------------------------------------- envelopes


class Envelopes:
    """What a worker passes on for one attempt, and what it is told for it."""

    def __init__(self, driver: Driver, attempt: int) -> None:
        self.driver = driver
        self.inside = Inside(driver.core)
        self.attempt = attempt

    def say(self, *messages: Message, attempt: int = 0, at: int = W) -> list[Message]:
        """The answer, opened."""
        header, _ = encode(messages)
        envelope = nested.Nested(attempt or self.attempt, [header])
        self.inside.hear(at, envelope, 0.0)
        out = [said for _, said in self.inside.refusals()]
        for peer, said in self.driver.core.flush():
            addressed = self.inside.address(peer, said) if peer < 0 else None
            if addressed is not None:
                assert addressed[0] == W
                out.append(addressed[1])
        return [message for each in out for message in _opened(each)]


def _opened(message: Message) -> list[Message]:
    assert isinstance(message, nested.Nested)
    [header] = message.frame
    assert isinstance(header, bytes)
    return decode(header, [])


def test_a_conversation_in_envelopes(cluster: Driver) -> None:
    """Joined, asked, refused for nonsense: and nobody else is."""
    _, run = parent(cluster)
    [attempt] = run.attempts
    number, _ = number_for(cluster)
    talk = Envelopes(cluster, attempt)
    ask = session.Ask(1, "nthreads", {})
    answer = session.Answer(1, ok=True, data={"tcp://host:10": 1})
    assert talk.say(nested.NestedJoin(attempt, number), ask) == [answer]
    assert talk.say(ask) == [answer]
    [refused] = talk.say(words.Release([first_id(1)]))
    assert isinstance(refused, session.Refused)
    assert "not of client" in refused.reason
    [refused] = talk.say(ask)
    assert isinstance(refused, session.Refused)
    assert "does not know" in refused.reason
    assert list(cluster.core.state.workers) == ["tcp://host:10"]
    assert len(cluster.core.state.clients) == 1


def test_a_client_in_an_envelope_may_leave(cluster: Driver) -> None:
    """Before its task does."""
    _, run = parent(cluster)
    number, _ = number_for(cluster)
    talk = Envelopes(cluster, run.attempts[0])
    assert talk.say(nested.NestedJoin(run.attempts[0], number), session.Goodbye("enough")) == []
    assert len(cluster.core.state.clients) == 1


@pytest.mark.parametrize("frame", [[], [b"", b""], [b"\xc1"], [b"\x91\x91\xcd\x27\x0f"]])
def test_what_is_no_envelope(cluster: Driver, frame: list[Any]) -> None:
    """It is answered, and that is all."""
    _, run = parent(cluster)
    inside = Inside(cluster.core)
    inside.hear(W, nested.Nested(run.attempts[0], frame), 0.0)
    [(peer, answer)] = inside.refusals()
    assert peer == W
    assert [type(each) for each in _opened(answer)] == [session.Refused]
