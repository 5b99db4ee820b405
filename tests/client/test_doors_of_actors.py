"""Who waits to be let in to an actor: threads and coroutines, which others need meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from trio_dask import (
    AsyncEvent,
    Client,
    Event,
    Future,
    LocalCluster,
    TaskError,
    Variable,
    get_client,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE_S = 30.0


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


class Delegates:
    """Has others work."""

    def squares(self, count: int) -> int:
        """By tasks, for which it waits."""
        client = get_client()
        return sum(client.gather(client.map(pow, range(count), [2] * count)))

    def ten(self) -> int:
        """Needs nothing."""
        return 10


def delegate(actor: Any, count: int) -> int:
    """A task that calls it where it is."""
    return int(actor.squares(count).result())


def test_who_waits_to_be_let_in_takes_no_slot(cluster: LocalCluster, client: Client) -> None:
    """Else more callers than slots would keep the one that is in from going on."""
    name = next(iter(cluster.workers))
    future: Future[Any] = client.submit(Delegates, actor=True, workers=name)
    calls = [future.result().squares(4) for _ in range(6)]
    calls += client.map(delegate, [future] * 6, [4] * 6)
    assert [call.result(timeout=PATIENCE_S) for call in calls] == [14] * 12


class Held:
    """Somebody is in until he is let go."""

    def __init__(self) -> None:
        self.n = 0
        self.seen: list[int] = []

    def add(self, number: int = 1) -> int:
        """Add, and say how much it is."""
        self.n += number
        self.seen.append(number)
        return self.n

    def fail(self, why: str) -> None:
        """An error of its own."""
        raise LookupError(why)

    async def later(self, number: int) -> int:
        """A coroutine."""
        self.n += number
        return self.n

    def hold(self, name: str) -> int:
        """Be in."""
        Event(f"{name}-in").set()
        Event(f"{name}-go").wait(PATIENCE_S)
        return self.n


async def calls_while_held(actor: Any, name: str) -> list[Any]:
    """Say that one goes on after the calls were begun, and what came of them."""
    calls = [actor.add(number) for number in range(1, 6)]
    failing, reads = actor.fail("no"), actor.n
    done = [call.done() for call in calls]
    try:
        calls[0].result(timeout=0)
    except TimeoutError as error:
        done.append(str(error))
    del calls[1:4]  # they are made all the same
    await AsyncEvent(f"{name}-asked").set()
    found = [await call for call in calls]
    try:
        await failing
    except LookupError as error:
        found.append(str(error))
    return [done, reads, found, calls[1].result(), await actor.later(100)]


def test_coroutines_that_wait_to_be_let_in_do_not_hold_the_loop_up(client: Client) -> None:
    """They go on to where they await it, and so do all others; calls are made in their order."""
    future: Future[Any] = client.submit(Held, actor=True)
    holds = future.result().hold("loop")
    assert Event("loop-in").wait(PATIENCE_S)
    waits = client.submit(calls_while_held, future, "loop")
    assert Event("loop-asked").wait(PATIENCE_S)
    assert client.submit(later_than, future, 1).result(PATIENCE_S) == 2
    Event("loop-go").set()
    assert holds.result(PATIENCE_S) == 0
    done, reads, found, again, last = waits.result(PATIENCE_S)
    assert done == [False] * 5 + ["the actor's method is not done after 0 s"]
    assert (reads, found, again, last) == (0, [1, 15, "no"], 15, 115)
    assert future.result().seen == [1, 2, 3, 4, 5]


async def later_than(actor: Any, number: int) -> int:
    """Another coroutine, beside the actor."""
    return number + 1


def test_coroutines_that_wait_to_be_let_in_take_no_slot(
    cluster: LocalCluster, client: Client
) -> None:
    """Else more of them than slots would keep the one that is in from going on."""
    name = next(iter(cluster.workers))
    future: Future[Any] = client.submit(Delegates, actor=True, workers=name)
    calls = [future.result().squares(4) for _ in range(3)]
    calls += client.map(delegate, [future] * 3, [4] * 3)
    calls += client.map(waits_for_its_turn, [future] * 6)
    assert [call.result(timeout=PATIENCE_S) for call in calls] == [14] * 6 + [10] * 6


async def waits_for_its_turn(actor: Any) -> int:
    """Calls what needs nothing, and awaits it."""
    return int(await actor.ten())


def uses_two(here: Any, name: str) -> list[Any]:
    """One that is an argument, and one from elsewhere."""
    there = Variable(name).get()
    if isinstance(there, Future):
        there = there.result()
    return [type(here).__name__, type(there).__name__, here.add(1).result(), there.add(2).result()]


def test_two_actors_of_two_processes_in_one_task(cluster: LocalCluster, client: Client) -> None:
    """One is an argument, the other one is called from afar; that is what the error says, too."""
    first, second = (
        client.submit(Held, actor=True, workers=name) for name in list(cluster.workers)[:2]
    )
    with pytest.raises(TaskError, match="takes the other one out of a Variable"):
        client.submit(use_both, first, second).result(PATIENCE_S)
    for given in (second, second.result()):
        Variable("second").set(given)
        kinds = client.submit(uses_two, first, "second").result(PATIENCE_S)[:2]
        assert kinds == ["ActorCell", "Actor"]
    Variable("second").delete()
    assert (first.result().n, second.result().n) == (2, 4)


def use_both(one: Any, other: Any) -> list[int]:
    """Both as arguments."""
    return [one.add().result(), other.add().result()]
