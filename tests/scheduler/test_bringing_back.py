"""Values that clients bring, when the scheduler dies meanwhile: they are with a worker, or brought again."""

from __future__ import annotations

import pytest

from tests.scheduler.reunion_driver import BEFORE, FIRST, ME, RESTART_S, A, B, C, Reunion
from trio_dask.messages import reunion, tasks as words
from trio_dask.messages.fleet import Copy
from trio_dask.messages.ids import first_id
from trio_dask.messages.reunion import Announced, Holdings, Known
from trio_dask.scheduler.core import Misuse

ONE, TWO = FIRST + 10, FIRST + 11


@pytest.fixture
def town() -> Reunion:
    """A new scheduler, to which a client and two workers come back."""
    found = Reunion()
    found.client_back()
    found.worker_back(A)
    found.worker_back(B)
    for peer in (C, A, B):
        found.remembers(peer, workers=(A, B))
    return found


def holds(town: Reunion, *tids: int) -> None:
    """The first worker has these, the second nothing."""
    town.tell(A, Holdings(list(tids), [9] * len(tids)))
    town.tell(A, Announced(1, []))
    town.tell(B, Announced(1, []))


def freed(town: Reunion, peer: int) -> list[int]:
    """What the worker was told to drop."""
    said = town.heard(peer, keep=True)
    return [tid for each in said if isinstance(each, words.Free) for tid in each.tids]


def test_a_worker_has_got_it_and_the_scheduler_did_not_hear(town: Reunion) -> None:
    """It stays there: to be dropped and brought again at once is to be dropped after that."""
    holds(town, ONE)
    town.tell(C, words.Put([ONE, TWO], [9, 9], [], broadcast=False))
    town.tell(C, Announced(0, []))
    assert freed(town, A) == []
    said = town.heard(C)
    assert [each.tids for each in said if isinstance(each, words.Finished)] == [[ONE]]
    (at,) = [each for each in said if isinstance(each, words.PutAt)]
    assert at.tids == [TWO]
    place = {f"tcp://host:{peer}": peer for peer in (A, B)}[at.places[0]]
    town.tell(place, words.Stored([TWO], [9]))
    assert [each.tids for each in town.heard(C) if isinstance(each, words.Finished)] == [[TWO]]
    assert town.core.state.puts == {}


def test_one_that_was_on_its_way_to_all_goes_on(town: Reunion) -> None:
    """From the one that has it to the others."""
    holds(town, ONE)
    town.tell(C, words.Put([ONE], [9], [], broadcast=True))
    town.tell(C, Announced(0, []))
    assert [each.tids for each in town.heard(B) if isinstance(each, Copy)] == [[ONE]]
    assert not any(isinstance(each, Copy) for each in town.heard(A))
    assert town.core.state.copies_asked[ONE] == 2


def test_it_comes_late(town: Reunion) -> None:
    """A client that was given up is treated as all are."""
    holds(town)
    town.tick(RESTART_S + 0.1)
    town.leave(C)
    town.client_back(peer=3)
    town.remembers(3, workers=(A, B))
    town.tell(3, words.Put([ONE], [9], [], broadcast=False))
    town.tell(3, Announced(0, []))
    assert [each.tids for each in town.heard(3) if isinstance(each, words.PutAt)] == [[ONE]]


def test_without_workers_it_waits() -> None:
    """Until there is one."""
    town = Reunion()
    town.client_back()
    town.remembers(C, workers=())
    town.tell(C, words.Put([ONE], [9], [], broadcast=False))
    town.tell(C, Announced(0, []))
    assert not any(isinstance(each, words.PutAt) for each in town.heard(C))
    town.worker(A, cluster=BEFORE, epoch=3)
    town.tell(A, Announced(1, []))
    assert [each.tids for each in town.heard(C) if isinstance(each, words.PutAt)] == [[ONE]]


@pytest.mark.parametrize("held", [True, False])
def test_an_input_that_its_client_has_let_go_of(town: Reunion, *, held: bool) -> None:
    """A task needs it: it has it, or is lost with it; and nobody else wants it."""
    holds(town, *([ONE] if held else []))
    town.tell(C, words.Functions([FIRST], ["inc"], [b"INC"]))
    town.tell(C, words.Submit(FIRST, [FIRST], [b"1"], [1], [ONE], [], [], True, {}))
    town.tell(C, Known([ONE], [reunion.HELD], [b""], [ONE]))
    town.tell(C, words.Release([ONE]))
    town.tell(C, Announced(0, []))
    runs = [each for peer in (A, B) for each in town.heard(peer) if isinstance(each, words.Run)]
    failed = [each.tids for each in town.heard(C) if isinstance(each, words.Failed)]
    assert [each.tids for each in runs] == ([[FIRST]] if held else [])
    assert failed == ([] if held else [[FIRST]])
    if held:
        assert not town.core.state.tasks[ONE].wanted
        town.tell(A, words.Done(runs[0].attempts, [words.OK_INLINE], [0.1], [1], [b"v"]))
        assert freed(town, A) == [ONE]


def test_nobody_brings_for_others(town: Reunion) -> None:
    """The ids of a value are those of who brings it."""
    holds(town)
    town.tell(C, words.Put([first_id(ME + 1)], [9], [], broadcast=False))
    town.core.handle(C, Announced(0, []), town.now)
    ((peer, misuse),) = town.core.work()
    assert peer == C
    assert isinstance(misuse, Misuse)
    assert "is not of client" in str(misuse)
