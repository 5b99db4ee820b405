"""Actors: objects in the cluster, used by clients and by tasks, and lost with their process."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
from contextlib import suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import trio

from tests.client.fake_cluster import open_client
from trio_dask import (
    AsyncClient,
    AsyncVariable,
    Client,
    DataLost,
    Future,
    LocalCluster,
    Queue,
    SubmitError,
    TaskError,
    Variable,
    as_completed,
)
from trio_dask.messages import tasks
from trio_dask.runner.actors import ActorCell, call_actor

if TYPE_CHECKING:
    from collections.abc import Iterator


PATIENCE_S = 30.0


class Counter:
    """Counts, in one process of the cluster."""

    kind = "counter"

    def __init__(self, start: int = 0) -> None:
        self.n = start
        self.seen: list[int] = []

    def add(self, number: int = 1) -> int:
        """Add, and say how much it is."""
        self.n += number
        self.seen.append(number)
        return self.n

    def fail(self, why: str) -> None:
        """An error of its own."""
        raise LookupError(why)

    def _twice(self, number: int) -> int:
        """Not for everybody."""
        return 2 * number

    async def later(self, number: int) -> int:
        """A coroutine."""
        self.n += number
        return self.n

    def die(self) -> None:
        """Its process ends."""
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster() -> Iterator[LocalCluster]:
    """Two workers with two slots each, in threads."""
    with LocalCluster(2, 2, processes=False, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: LocalCluster) -> Iterator[Client]:
    """A client."""
    with Client(cluster) as client:
        yield client


def use(counter: Any, times: int) -> list[int]:
    """A task that has an actor as an argument."""
    return [counter.add().result() for _ in range(times)]


async def use_awaited(counter: Any) -> int:
    """The same as a coroutine."""
    await counter.add()
    return int(await counter.later(10))


def test_methods_and_attributes(client: Client) -> None:
    """Calls of one caller are done in order, also when one of them fails."""
    future = client.submit(Counter, 10, actor=True)
    counter: Any = future.result()
    calls = [counter.add(number) for number in range(20)]
    failed = counter.fail("no such thing")
    last = counter.add(1)
    assert last.result() == 10 + sum(range(20)) + 1
    assert [each.result() for each in calls][-1] == 10 + sum(range(20))
    with pytest.raises(LookupError, match="no such thing") as caught:
        failed.result()
    assert any("Counter.fail of an actor" in note for note in caught.value.__notes__)
    assert counter.seen == [*range(20), 1]
    assert counter.kind == "counter"
    assert counter.later(5).result() == counter.n
    with pytest.raises(AttributeError):
        _ = counter.nothing
    assert "add" in dir(counter)
    assert repr(counter) == f"<Actor: Counter, key: {future.key}>"
    assert future.key.startswith("Counter-")


class Sourceless:
    """The loader of a module that breaks when it is asked for the text of it."""

    def get_source(self, name: str) -> str:
        """No."""
        raise ValueError(name)


class Unnoted(LookupError):
    """An error that takes no notes."""

    def add_note(self, note: str, /) -> None:
        """No."""
        raise TypeError(note)


@pytest.mark.parametrize("error", [LookupError, Unnoted])
def test_a_call_fails_with_its_own_error_whatever_can_be_said_of_it(error: type) -> None:
    """Else it would fail as a task, and so would all calls that come after it."""
    module = {"__name__": "nowhere", "__loader__": Sourceless(), "error": error}
    exec(compile("def fail():\n    raise error('no')\n", "nowhere.py", "exec"), module)
    outcome = None
    with suppress(ValueError, TypeError):  # pytest itself could not show these
        cell = ActorCell(SimpleNamespace(fail=module["fail"]))
        outcome = call_actor(cell, ("fail", (), {}), None)
    assert outcome is not None
    assert type(outcome.error) is error
    notes = getattr(outcome.error, "__notes__", [])
    assert all("cannot be had: ValueError" in note for note in notes)
    assert bool(notes) is (error is LookupError)


def test_tasks_use_it(client: Client) -> None:
    """As an argument, where it is: each step is one, whoever makes it."""
    counter: Any = client.submit(Counter, actor=True).result()
    found = client.gather(client.map(use, [counter] * 10, times=5))
    assert sorted(n for each in found for n in each) == list(range(1, 51))
    future: Future[int] = client.submit(use_awaited, counter)
    assert future.result() == 61
    assert counter.n == 61


def use_several(counters: list[Any], *, more: Any) -> int:
    """A task that is given the futures of actors."""
    return int(sum(each.add(separate_thread=False).result() for each in [*counters, more]))


def test_its_future_as_an_argument(cluster: LocalCluster, client: Client) -> None:
    """A task gets the actor, wherever in its arguments the future of it is."""
    name = next(iter(cluster.workers))
    first, second, third = (client.submit(Counter, actor=True, workers=name) for _ in range(3))
    assert client.submit(use, first, 2).result() == [1, 2]
    assert client.submit(use_several, [first, second], more=third).result() == 3 + 1 + 1
    assert first.result().n == 3


def test_gathered(client: Client) -> None:
    """With other values, in any container, as they are done; its type is that of the object."""
    future, other = client.submit(Counter, 3, actor=True), client.submit(pow, 2, 2)
    found = client.gather({"actor": future, "rest": [other, future]})
    assert found["actor"].add().result() == 4
    assert found["rest"][0] == 4
    assert found["rest"][1].n == 4
    [(_, actor)] = as_completed([future], with_results=True)
    assert actor.n == 4
    assert future.type is Counter
    failed = client.submit(Counter, 1, 2, actor=True)
    [_, error] = client.gather([future, failed], errors="return")
    assert isinstance(error, TypeError)
    assert failed.type is None


def test_map(client: Client) -> None:
    """An actor for each row, on all workers."""
    counters: list[Any] = client.gather(client.map(Counter, range(6), actor=True))
    assert [each.add().result() for each in counters] == list(range(1, 7))
    with pytest.raises(SubmitError, match="object of a class"):
        client.map(use, range(3), actor=True)


class Gate:
    """Somebody waits, and somebody else opens."""

    def __init__(self, expected: int) -> None:
        self.expected = expected
        self.event = trio.Event()
        self.full = trio.Event()
        self.here = 0

    async def wait(self) -> int:
        """Until it is open; how many have waited."""
        self.here += 1
        if self.here == self.expected:
            self.full.set()
        await self.event.wait()
        return self.here

    async def open(self) -> None:
        """All go on, when they are here: coroutines begin in any order."""
        await self.full.wait()
        self.event.set()


def test_coroutines_wait_for_what_is_called_after_them(client: Client) -> None:
    """More of them than there are slots, of one caller and of several; they take none."""
    future = client.submit(Gate, 10, actor=True)
    gate: Any = future.result()
    calls = [gate.wait() for _ in range(5)] + [future.result().wait() for _ in range(5)]
    for call in calls:
        with pytest.raises(TimeoutError):
            call.result(timeout=0)
    gate.open().result(timeout=PATIENCE_S)
    assert [call.result(timeout=PATIENCE_S) for call in calls] == [10] * 10


@pytest.mark.anyio
async def test_calls_are_made_whoever_holds_what_they_give() -> None:
    """Each coroutine, and the last of the plain ones, for the sake of which the others are."""
    async with open_client() as (client, fake):
        fake.held = True
        future: Any = client.submit(Counter, actor=True)
        counter = future.stand_in()
        calls = [counter.add(), counter.add()]
        await client.flush()
        assert fake.told(tasks.Keep) == []
        calls += [counter.later(1), counter.add()]
        await client.flush()
        assert len(fake.told(tasks.Keep)) == 1
        del counter, calls
        gc.collect()
        await client.flush()
        kept = [tid for each in fake.told(tasks.Keep) for tid in each.tids]
        released = {tid for each in fake.told(tasks.Release) for tid in each.tids}
        assert len(kept) == 2
        assert set(kept) < released
        assert len(released) == 8


def test_calls_are_known_by_their_methods(client: Client) -> None:
    """In keys, and so in errors, on the dashboard and in what `why` says."""
    counter: Any = client.submit(Counter, actor=True).result()
    keys = [each.key for each in (counter.add(), counter.later(1))]
    assert [key.rpartition("-")[0] for key in keys] == [
        "Counter.add-result",
        "Counter.later-result",
    ]


def test_names_that_begin_with_an_underscore(client: Client) -> None:
    """Methods may be called; what shows objects finds nothing more, without asking the cluster."""
    counter: Any = client.submit(Counter, actor=True).result()
    assert counter._twice(4, separate_thread=True).result() == 8
    assert not hasattr(counter, "_repr_html_")


def set_from_a_task(counter: Any) -> None:
    """In the process where the actor is."""
    counter.n = 7


def test_attributes_are_not_set_from_afar(client: Client) -> None:
    """It would be another attribute, of what stands for the actor."""
    counter: Any = client.submit(Counter, 3, actor=True).result()
    with pytest.raises(AttributeError, match="not set: let a method of it do that to 'n'"):
        counter.n = 7
    with pytest.raises(AttributeError, match="not deleted"):
        del counter.n
    with pytest.raises(AttributeError, match="not set"):
        client.submit(set_from_a_task, counter).result()
    assert counter.n == 3


def test_through_a_queue(client: Client, cluster: LocalCluster) -> None:
    """Another client uses it, and it lives as long as somebody can."""
    queue = Queue("actors")
    with Client(cluster) as other:
        Queue("actors", client=other).put(other.submit(Counter, actor=True).result())
    counter = queue.get()
    assert counter.add(2).result() == 2


def through_queue(future: Future[Any], giver: Client, taker: Client) -> Any:
    """The future comes out of a queue."""
    Queue("futures", client=giver).put({"deep": [future]})
    return Queue("futures", client=taker).get()["deep"][0]


def through_variable(future: Future[Any], giver: Client, taker: Client) -> Any:
    """Out of a variable."""
    Variable("actor", client=giver).set(future)
    return Variable("actor", client=taker).get()


def through_dataset(future: Future[Any], giver: Client, taker: Client) -> Any:
    """Out of a published data set."""
    giver.publish_dataset(future, name="actor", override=True)
    return taker.get_dataset("actor")


def through_pickle(future: Future[Any], giver: Client, taker: Client) -> Any:
    """Out of a pickle, which names the class, and does not need it."""
    data = pickle.dumps(future)
    assert __name__.encode() not in data
    return pickle.loads(data)


def through_copy(future: Future[Any], giver: Client, taker: Client) -> Any:
    """Out of a copy of a copy."""
    return copy.deepcopy([copy.copy(future)])[0]


@pytest.mark.parametrize(
    "way", [through_queue, through_variable, through_dataset, through_pickle, through_copy]
)
def test_the_future_of_an_actor_is_handed_over(
    client: Client, cluster: LocalCluster, way: Any
) -> None:
    """What comes out is the future of an actor, for whoever has it, and holds it."""
    with Client(cluster) as other:
        future = client.submit(Counter, 5, actor=True)
        client.flush()  # a pickle is nothing that the scheduler would know of
        found = way(future, client, other)
        counter = found.result()
        assert counter.add().result() == 6
        assert found.client.gather([found])[0].add().result() == 7
        assert found.client.submit(use, found, 2).result() == [8, 9]
        assert found.type is Counter
        assert future.result().n == 9
        future.release()
        client.flush()
        del future
        assert counter.add().result() == 10
        again = way(found, found.client, client)
        assert again.result().n == 10


async def test_an_awaited_one_is_handed_over(cluster: LocalCluster) -> None:
    """The same, also inside a task that awaits."""

    async def asks() -> int:
        found: Any = await AsyncVariable("awaited-actor").get()
        counter = await found
        await counter.add()
        return int(await counter.later(10))

    async with AsyncClient(cluster) as client:
        future = client.submit(Counter, 5, actor=True)
        await AsyncVariable("awaited-actor", client=client).set(future)
        found: Any = await AsyncVariable("awaited-actor", client=client).get()
        assert await client.submit(asks) == 16
        counter = await found
        assert await counter.n == 16
        assert await found.type is Counter


def test_what_cannot_be(client: Client) -> None:
    """Said at once, or when it is made."""
    with pytest.raises(SubmitError, match="object of a class"):
        client.submit(use, actor=True)
    with pytest.raises(TypeError):
        client.submit(Counter, 1, 2, actor=True).result()
    with pytest.raises(SubmitError, match="the option is actor=True"):
        client.submit(Counter, actors=True)
    with pytest.raises(SubmitError, match="no actors"):
        client.get({"x": (Counter,)}, "x", actors=True)
    counter = client.submit(Counter, actor=True)
    with pytest.raises(TaskError, match=r"pass on what result\(\) of its future gives"):
        client.submit(lambda value: value, counter).result()


@pytest.mark.anyio
async def test_awaited(cluster: LocalCluster) -> None:
    """On both loops; attributes are awaited, too."""
    async with AsyncClient(cluster) as client:
        future = client.submit(Counter, actor=True)
        counter: Any = await future
        assert await future.type is Counter
        more: list[Any] = await client.gather(client.map(Counter, [5], actor=True))
        assert await more[0].n == 5
        assert await counter.add() == 1
        assert await counter.later(1) == 2
        assert await counter.n == 2
        with pytest.raises(LookupError):
            await counter.fail("no")


def test_by_a_call(client: Client) -> None:
    """It is there for as long as what was given of it."""
    counter: Any = client.call(Counter, 3, actor=True)
    assert client.call(abs, -1) == 1  # what was let go of is gone by then
    assert counter.add().result() == 4


@pytest.mark.anyio
async def test_by_a_call_that_is_awaited(cluster: LocalCluster) -> None:
    """The same."""
    async with AsyncClient(cluster) as other:
        awaited: Any = await other.call(Counter, 5, actor=True)
        assert await other.call(abs, -1) == 1
        assert await awaited.add() == 6


@pytest.mark.processes
def test_an_actor_is_lost_with_its_process() -> None:
    """Never made again behind anybody's back: who calls it is told."""
    with Client(n_workers=1, threads_per_worker=1, dashboard_address=None) as client:
        counter: Any = client.submit(Counter, actor=True).result()
        assert counter.add().result() == 1
        assert client.submit(use, counter, 3).result() == [2, 3, 4]
        counter.die()
        with pytest.raises(DataLost, match="Counter-"):
            counter.add().result()
        assert client.submit(Counter, actor=True).result() is not None


def test_calls_that_are_over_are_forgotten(client: Client) -> None:
    """An actor lives long, and nobody knows of thousands of calls that nobody can ask for any more."""
    counter: Any = client.submit(Counter, actor=True).result()
    for number in range(1, 51):
        assert counter.add().result() == number
    assert client.task_counts()["released"] <= 2
