"""What many are to have goes from one to the other: nobody sends it to all, and nobody waits long."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from trio_dask.messages import session, tasks as words
from trio_dask.messages.fleet import Copy, Leave, Uncopied

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scheduler.conftest import Driver

CLIENT, FIRST = 1, 10


class Town:
    """Workers that fetch what they are told to, all of them at the same time, step by step."""

    def __init__(self, cluster: Driver, count: int, *, hosts: int = 1) -> None:
        self.cluster = cluster
        self.tid = cluster.client()
        self.peers = {}
        for peer in range(FIRST, FIRST + count):
            self.peers[cluster.worker(peer, host=f"host{peer % hosts}")] = peer
        #: Who has sent it to whom, in each step.
        self.steps: list[list[tuple[str, str]]] = []
        self.has: set[str] = set()

    def brought(self) -> None:
        """The client brings the value to where it is told to."""
        told = [each for each in self.cluster.heard(CLIENT) if isinstance(each, words.PutAt)]
        assert [len(each.tids) for each in told] == [1]
        self.stored(told[0].places[0])

    def stored(self, at: str) -> None:
        """It is at one of them."""
        self.has = {at}
        self.cluster.tell(self.peers[at], words.Stored([self.tid], [100]))

    def step(self, until: Callable[[str], object] = lambda _: None) -> bool:
        """All that was ordered is fetched at once; whether there was any. `until` is called before."""
        orders = {}
        for address, peer in self.peers.items():
            copies = [each for each in self.cluster.heard(peer) if isinstance(each, Copy)]
            if copies:
                (order,) = copies
                (orders[address],) = order.places
        sent = []
        for address, places in orders.items():
            until(address)
            if address not in self.peers:
                continue
            source = next((each for each in places.split() if each in self.peers), "")
            if source:
                assert source in self.has
                sent.append((source, address))
                self.has.add(address)
                self.cluster.tell(self.peers[address], words.Replicas([self.tid]))
            else:
                self.cluster.tell(self.peers[address], Uncopied([self.tid], [b""]))
        self.steps.append(sent)
        return bool(orders)

    def spread(self) -> None:
        """Until nobody is told to fetch it."""
        while self.step():
            pass
        assert not self.cluster.core.state.relays

    def leaves(self, address: str) -> None:
        """The worker dies."""
        self.has.discard(address)
        self.cluster.leave(self.peers.pop(address))

    @property
    def sent(self) -> Counter[str]:
        """How often each has sent it."""
        return Counter(source for step in self.steps for source, _ in step)


def brought_to_all(town: Town) -> None:
    """A client wants it to be with all of them."""
    town.cluster.tell(CLIENT, words.Put([town.tid], [100], [], True))
    town.brought()


def copied_to_all(town: Town) -> None:
    """It is with one, and a client wants all of them to hold it."""
    (first, *_) = town.peers
    town.cluster.tell(CLIENT, words.Put([town.tid], [100], [first], False))
    town.brought()
    town.cluster.tell(CLIENT, session.Ask(7, "replicate", {"tids": [town.tid]}))


def answers(town: Town) -> list[object]:
    """What the client was told of copies."""
    said = town.cluster.heard(CLIENT)
    return [each.data for each in said if isinstance(each, session.Answer)]


@pytest.mark.parametrize("wanted", [brought_to_all, copied_to_all])
@pytest.mark.parametrize("count", [1, 2, 3, 10, 200])
def test_nobody_sends_it_to_all(
    cluster: Driver, wanted: Callable[[Town], None], count: int
) -> None:
    """Each that has it gives it to two others in a step, so steps are few, and all end up with it."""
    town = Town(cluster, count)
    wanted(town)
    town.spread()
    assert town.has == set(town.peers)
    steps = math.ceil(math.log(count, 3) - 1e-9)
    assert len([each for each in town.steps if each]) == steps
    assert max(town.sent.values(), default=0) <= 2 * steps
    assert sum(town.sent.values()) == count - 1


def test_it_comes_to_each_host_once(cluster: Driver) -> None:
    """What is on a host is passed on there; through the network it goes once to each of the others."""
    town = Town(cluster, 60, hosts=6)
    brought_to_all(town)
    town.spread()
    assert town.has == set(town.peers)
    between = [
        (source, to)
        for step in town.steps
        for source, to in step
        if source.rpartition(":")[0] != to.rpartition(":")[0]
    ]
    assert len(between) == 5


@pytest.mark.parametrize("wanted", [brought_to_all, copied_to_all])
def test_one_that_has_it_dies(cluster: Driver, wanted: Callable[[Town], None]) -> None:
    """Who was to get it from there gets it from another, and the others from there on as before."""
    town = Town(cluster, 40)
    wanted(town)
    town.step()
    (source, _), *_ = town.steps[0]
    (middle,) = {to for _, to in town.steps[0][:1]}
    dead = iter([middle])
    town.step(lambda _: town.leaves(each) if (each := next(dead, "")) else None)
    town.spread()
    assert town.has == set(town.peers)
    assert len(town.has) == 39
    assert max(town.sent.values()) <= 10
    assert source in town.has


def test_all_that_have_it_die(cluster: Driver) -> None:
    """Nobody waits for it: the client is told how many could not get it."""
    town = Town(cluster, 10)
    copied_to_all(town)
    (source,) = town.has
    town.leaves(source)
    town.spread()
    told = answers(town)
    assert told == [{"copies": 0, "nbytes": 0, "failed": 9}]
    assert not cluster.core.state.orders


def test_it_dies_before_it_has_it(cluster: Driver) -> None:
    """What was being brought goes elsewhere, and from there to all."""
    town = Town(cluster, 10)
    cluster.tell(CLIENT, words.Put([town.tid], [100], [], True))
    (told,) = [each for each in cluster.heard(CLIENT) if isinstance(each, words.PutAt)]
    town.leaves(told.places[0])
    town.brought()
    town.spread()
    assert town.has == set(town.peers)
    assert len(town.has) == 9


def test_who_cannot_get_it_tries_again(cluster: Driver) -> None:
    """Three times; then the client is told, and the others have it all the same."""
    town = Town(cluster, 3)
    copied_to_all(town)
    _, second, third = town.peers
    for _ in range(3):
        town.cluster.tell(town.peers[second], Uncopied([town.tid], [b""]))
    assert answers(town) == []
    town.cluster.tell(town.peers[third], words.Replicas([town.tid]))
    assert answers(town) == [{"copies": 1, "nbytes": 100, "failed": 1}]
    assert not cluster.core.state.relays


def test_what_cannot_be_pickled_is_given_up(cluster: Driver) -> None:
    """If it cannot leave its place nobody else has to find that out."""
    town = Town(cluster, 10)
    copied_to_all(town)
    why = b"why"
    asked = [
        peer
        for peer in town.peers.values()
        if any(isinstance(each, Copy) for each in cluster.heard(peer))
    ]
    for peer in asked:
        cluster.tell(peer, Uncopied([town.tid], [why]))
    assert answers(town) == [{"copies": 0, "nbytes": 0, "failed": 9}]
    assert not cluster.core.state.relays


def test_one_that_leaves_gets_nothing(cluster: Driver) -> None:
    """Whoever was told to get it, and is to leave, does not try again."""
    town = Town(cluster, 2)
    copied_to_all(town)
    _, second = town.peers
    cluster.tell(town.peers[second], Leave("it is late", at_once=False))
    cluster.tell(town.peers[second], Uncopied([town.tid], [b""]))
    assert answers(town) == [{"copies": 0, "nbytes": 0, "failed": 1}]


def test_released_on_its_way(cluster: Driver) -> None:
    """Nobody else is told to get it, who has it lets it go, and nothing is left of it."""
    town = Town(cluster, 10)
    copied_to_all(town)
    cluster.tell(CLIENT, words.Release([town.tid]))
    town.spread()
    assert len(town.steps[0]) == 2
    assert sum(map(len, town.steps)) == 2
    assert answers(town) == [{"copies": 0, "nbytes": 0, "failed": 9}]
    assert not cluster.core.state.tasks


def test_released_before_it_was_there(cluster: Driver) -> None:
    """Nothing is left of it either."""
    town = Town(cluster, 10)
    cluster.tell(CLIENT, words.Put([town.tid], [100], [], True))
    cluster.tell(CLIENT, words.Release([town.tid]))
    assert not cluster.core.state.relays
    town.brought()
    town.spread()
    assert town.steps == [[]]


def test_fetched_for_a_task_meanwhile(cluster: Driver) -> None:
    """Who has it already is not told to get it, and gives it to others."""
    town = Town(cluster, 4)
    copied_to_all(town)
    orders = {
        address: any(isinstance(each, Copy) for each in cluster.heard(peer))
        for address, peer in town.peers.items()
    }
    first, *_ = town.peers
    (left,) = [address for address, told in orders.items() if not told and address != first]
    cluster.tell(town.peers[left], words.Replicas([town.tid]))
    for address, told in orders.items():
        if told:
            cluster.tell(town.peers[address], words.Replicas([town.tid]))
    assert answers(town) == [{"copies": 3, "nbytes": 300, "failed": 0}]
    town.spread()
    assert town.steps == [[]]
