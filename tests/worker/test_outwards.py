"""How much of its values a worker has packed for others at a time: the decisions, without a process."""

from __future__ import annotations

import pytest

from tests.worker.worker_driver import after, found, ready_core, run
from trio_dask.messages.tasks import OK_HELD, Done
from trio_dask.messages.values import ABSENT, FOUND, Fetch, Values
from trio_dask.worker.core import AwaitDrain, ToPeer, ToRunner, WorkerCore
from trio_dask.worker.core.invariants import violations
from trio_dask.worker.core.serving import COPIES_BYTES_MAX, UNDERWAY_BYTES_MAX

MIB = 1 << 20
PEERS, EACH = 10, 100


def holding(count: int, nbytes: int) -> WorkerCore:
    """A worker whose runner holds so many values that nobody else has."""
    core = ready_core()
    attempts = list(range(1, count + 1))
    core.on_scheduler(run(*((attempt, {}) for attempt in attempts)))
    ends = Done(attempts, [OK_HELD] * count, [0.1] * count, [nbytes] * count, [b""] * count)
    core.on_runner(1, ends)
    after(core)
    return core


class Peers:
    """They ask for different values, and read answers when they are told to."""

    def __init__(self, core: WorkerCore, count: int = PEERS, each: int = EACH) -> None:
        self.core = core
        self.fetches: list[Fetch] = []
        self.got: dict[int, int] = dict.fromkeys(range(1, count + 1), 0)
        self.full: list[int] = []
        for peer in self.got:
            first = 1000 + EACH * (peer - 1) + 1
            core.peer_joined(peer, may_store=False)
            core.on_peer(peer, Fetch(peer, list(range(first, first + each))))
        self.act()

    def act(self) -> None:
        """See what is to be done."""
        for action in after(self.core):
            match action:
                case ToRunner(_, messages):
                    self.fetches += [each for each in messages if isinstance(each, Fetch)]
                case ToPeer(peer, messages):
                    for each in messages:
                        assert isinstance(each, Values)
                        self.got[peer] += each.statuses.count(FOUND)
                case AwaitDrain(peer):
                    self.full.append(peer)
                case _:
                    pass
        assert violations(self.core.state) == []

    @property
    def asked(self) -> int:
        """How many values the runner has to pack now."""
        return sum(len(each.tids) for each in self.fetches)

    def pack(self) -> None:
        """The runner gives out what it was asked for."""
        fetches, self.fetches = self.fetches, []
        for each in fetches:
            self.core.on_runner(1, found(each.serial, dict.fromkeys(each.tids, b"x")))
        self.act()

    def read(self, *peers: int) -> None:
        """These read what they were sent."""
        full, self.full = self.full, []
        for peer in full:
            if peer in peers:
                self.core.drained(peer)
            else:
                self.full.append(peer)
        self.act()


def test_what_is_packed_for_all_is_bounded() -> None:
    """Each may always have one; who reads gets all of it, whoever does not."""
    peers = Peers(holding(PEERS * EACH, MIB))
    most = COPIES_BYTES_MAX // MIB
    assert most <= peers.asked <= most + PEERS
    assert UNDERWAY_BYTES_MAX * PEERS > 2 * COPIES_BYTES_MAX
    peers.pack()
    assert peers.asked == 0
    for _ in range(EACH):
        peers.read(9, 10)
        peers.pack()
    assert (peers.got[9], peers.got[10]) == (EACH, EACH)
    assert sum(peers.got.values()) <= most + PEERS + 2 * EACH
    for peer in range(1, 5):
        peers.core.peer_left(peer)
    while peers.full or peers.fetches:
        peers.read(*range(5, 11))
        peers.full = [each for each in peers.full if each > 4]
        peers.pack()
    assert all(peers.got[peer] == EACH for peer in range(5, 11))
    for peer in range(5, 11):
        peers.core.peer_left(peer)
    assert peers.core.state.copies == 0


def test_who_has_read_is_looked_at_when_there_is_no_room() -> None:
    """Of those who have been told all they asked for nobody looks before."""
    core = holding(PEERS * EACH, MIB)
    peers = Peers(core, count=8, each=32)
    peers.pack()
    assert set(peers.got.values()) == {32}
    assert core.state.copies == COPIES_BYTES_MAX
    peers.got[9] = 0
    core.peer_joined(9, may_store=False)
    core.on_peer(9, Fetch(9, list(range(1801, 1861))))
    peers.act()
    for _ in range(3):
        peers.pack()
        peers.read(*peers.got)
    peers.pack()
    assert peers.got[9] == 60


def test_what_cannot_be_had_makes_room() -> None:
    """Values that are gone, or whose runner has ended, are under way no more."""
    peers = Peers(holding(PEERS * EACH, MIB))
    fetches, peers.fetches = peers.fetches, []
    for each in fetches:
        gone = Values(each.serial, each.tids, [ABSENT] * len(each.tids), [], [], last=True)
        peers.core.on_runner(1, gone)
    peers.act()
    assert peers.asked > PEERS
    peers.core.runner_died(1, [], {})
    peers.act()
    assert peers.core.state.copies == 0
    assert peers.core.books()["unanswered"] == 0


@pytest.mark.parametrize("peers", [1, 50])
def test_what_is_in_the_store_costs_nothing(peers: int) -> None:
    """It is sent from where it is: however many read it, only what one has under way is bounded."""
    core = ready_core()
    core.state.store.put("me", 5, bytes(UNDERWAY_BYTES_MAX))
    for peer in range(1, peers + 1):
        core.peer_joined(peer, may_store=False)
        core.on_peer(peer, Fetch(1, [5]))
    sent = [each for each in after(core) if isinstance(each, ToPeer)]
    assert len(sent) == peers
    payloads = {id(each.payloads[0]) for action in sent for each in action.messages}  # type: ignore[attr-defined]
    assert len(payloads) == 1
    assert core.state.copies == 0
