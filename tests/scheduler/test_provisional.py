"""Schedulers that die before it is known whose cluster theirs is: newcomers belong to those who come back."""

from __future__ import annotations

import pytest

from tests.scheduler.conftest import Driver
from tests.scheduler.reunion_driver import (
    BEFORE,
    BRIEF,
    FIRST,
    ME,
    OLD,
    OTHER,
    RESTART_S,
    A,
    B,
    C,
    D,
    Reunion,
    begun,
)
from trio_dask.messages import Message, encode, nested, session, tasks as words
from trio_dask.messages.ids import first_attempt, first_id
from trio_dask.messages.nested import Numbers
from trio_dask.messages.plugins import Plugins, PluginsDone
from trio_dask.messages.reunion import (
    CANCELLED,
    FAILED,
    INLINE,
    LOST,
    Announced,
    Attempts,
    Disown,
    Known,
    Members,
)
from trio_dask.scheduler.core import Misuse
from trio_dask.scheduler.core.reunion import ANOTHER
from trio_dask.scheduler.inside import Inside


@pytest.fixture
def town() -> Reunion:
    """A new scheduler, to which a worker and a client come back."""
    return begun()


def returns(
    town: Reunion, peer: int, cluster: str, *, number: int = 0, epoch: int = 3
) -> list[Message]:
    """Somebody comes back from this cluster: a client by its number, or a worker."""
    secret = f"the secret of peer {peer}"
    if number:
        message = session.RegisterClient(
            f"c{number}", secret, number, cluster, epoch, provisional=cluster == BRIEF
        )
        town.core.client_joined(peer, message, town.now)
        town.settle()
    else:
        provisional = cluster == BRIEF
        town.worker(peer, secret=secret, cluster=cluster, epoch=epoch, provisional=provisional)
    return town.heard(peer)


def test_newcomers_are_told_that_nothing_is_settled() -> None:
    """Until nobody can come back any more, or those who have are all there."""
    town = Reunion()
    town.core.client_joined(C, session.RegisterClient("new", "the secret of peer 1"), town.now)
    town.settle()
    welcome = town.heard(C)[0]
    assert isinstance(welcome, session.Welcome)
    assert welcome.provisional
    town.tick(RESTART_S - 0.1)
    assert all(each.provisional for each in Driver.heard(town, C) if isinstance(each, Members))
    town.tick(0.2)
    (news,) = [each for each in Driver.heard(town, C) if isinstance(each, Members)]
    assert (news.epoch, news.whole, news.provisional) == (1, False, False)
    with pytest.raises(Misuse, match=ANOTHER):
        returns(town, D, BEFORE, number=ME)


@pytest.mark.parametrize("first", [A, C])
def test_who_was_a_newcomer_elsewhere_belongs_to_those_who_come_back(first: int) -> None:
    """A scheduler died before it knew whose it was: whoever comes first decides nothing."""
    town = Reunion()
    for peer in (A, C) if first == A else (C, A):
        if peer == A:
            returns(town, A, BRIEF, epoch=1)
        else:
            returns(town, C, BEFORE, number=ME)
    town.tell(A, Members(BRIEF, 1, 1, True, ["tcp://host:11"], [], [], []))
    town.tell(A, Announced(1, []))
    town.remembers(C)
    town.describes([b"1"])
    assert town.core.state.cluster == BEFORE
    assert list(town.window(A).values()) == [FIRST]
    members = [each for each in Driver.heard(town, A) if isinstance(each, Members)]
    assert {(each.cluster, each.epoch, each.provisional) for each in members} == {
        (BEFORE, 4, False)
    }


def test_all_are_waited_for_whom_any_of_them_remembers() -> None:
    """Those of a provisional cluster do not know the others, whatever their count of changes."""
    town = Reunion()
    returns(town, A, BRIEF, epoch=1)
    town.tell(A, Members(BRIEF, 1, 99, True, ["tcp://host:11", "tcp://host:12"], [], [], []))
    town.client_back()
    town.remembers(C, workers=(B,))
    town.tell(A, Announced(1, []))
    town.describes([b"1"])
    assert not town.core.state.tasks
    town.worker_back(B)
    town.tell(B, Announced(1, []))
    assert FIRST in town.core.state.tasks


def test_the_first_who_are_back_close_no_door() -> None:
    """All whom a provisional cluster remembers are there, and work; then others come back."""
    town = Reunion()
    returns(town, A, BRIEF, epoch=1)
    town.tell(A, Members(BRIEF, 1, 1, True, ["tcp://host:11"], [], [], []))
    town.tell(A, Announced(1, []))
    assert not town.core.state.reunion.recovering
    town.core.client_joined(D, session.RegisterClient("new"), town.now)
    town.settle()
    newcomer = town.core.state.clients_ever
    town.tell(D, words.Functions([first_id(newcomer)], ["inc"], [b"INC"]))
    row = words.Submit(first_id(newcomer), [first_id(newcomer)], [b"1"], [], [], [], [], True, {})
    town.tell(D, row)
    returns(town, C, BEFORE, number=OTHER)
    town.remembers(C, workers=(), clients=(OTHER,))
    town.tell(C, Announced(0, []))
    assert town.core.state.cluster == BEFORE
    assert town.core.state.epoch == 4
    assert {OTHER, newcomer} <= town.core.state.clients.keys()
    assert list(town.window(A).values()) == [first_id(newcomer)]


def test_who_was_a_newcomer_elsewhere_may_come_late(town: Reunion) -> None:
    """All goes on as usual by then; what is said to it from now on it has not heard before."""
    town.tell(A, Announced(1, []))
    town.describes([b"1"])
    epoch = town.core.state.epoch + 5
    returns(town, B, BRIEF, epoch=epoch)
    town.tell(B, Members(BRIEF, epoch, 1, True, ["tcp://host:12"], [], [], []))
    town.tell(B, Announced(1, []))
    town.submit(FIRST + 1, [b"2"])
    assert list(town.window(B).values()) == [FIRST + 1]
    assert min(town.window(B)) > first_attempt(epoch + 1)


def test_one_that_comes_late_renames_nobody() -> None:
    """Nobody came back, so the cluster is its own: who joined it before is known by its name."""
    town = Reunion()
    town.worker(A, secret="the secret of peer 11")
    town.tick(RESTART_S + 0.1)
    name = town.core.state.cluster
    returns(town, B, BRIEF, epoch=1)
    town.tell(B, Announced(1, []))
    assert (town.core.state.cluster, town.core.state.reunion.provisional) == (name, False)
    town.core.left(A, "it was given up")
    returns(town, A, name, epoch=1)
    assert len(town.core.state.workers) == 2


def test_who_is_turned_away_changes_nothing(town: Reunion) -> None:
    """It had the numbers of those who are back taken for those of newcomers."""
    town.tell(A, Announced(1, []))
    message = session.RegisterClient("x", "the secret of another", 9, "yet another", 3)
    with pytest.raises(Misuse, match=ANOTHER):
        town.core.client_joined(D, message, town.now)
    town.worker_back(B)
    town.remembers(B)
    town.tell(B, Announced(1, []))
    town.describes([b"1"])
    assert FIRST in town.core.state.tasks


def test_plugins_reach_those_who_came_before_it_was_known() -> None:
    """What those who are back have is everywhere."""
    town = Reunion()
    town.worker(B)
    town.heard(B)
    town.client_back()
    town.worker_back(A)
    town.remembers(C)
    town.tell(A, Plugins(0, ["p"], [b"plugin"]))
    town.tell(A, Announced(1, []))
    town.describes([])
    (told,) = [each for each in town.heard(B) if isinstance(each, Plugins)]
    assert (told.names, told.blobs) == (["p"], [b"plugin"])
    town.tell(B, PluginsDone(told.serial, [b""]))
    assert not town.core.state.plugins.changes


def test_clients_inside_tasks_wait_with_their_workers(town: Reunion) -> None:
    """Nobody knows yet that the task is its client's: it is not refused."""
    inside = Inside(town.core)
    town.tell(A, Attempts([OLD], [FIRST], [1]))
    town.tell(A, Numbers([ME + 1], [first_id(ME + 1)]))
    town.tell(A, Announced(1, []))
    header, _ = encode([nested.NestedJoin(OLD, ME + 1)])
    inside.hear(A, nested.Nested(OLD, [header]), town.now)
    inside.catch_up()
    assert inside.refusals() == []
    town.describes([b"1"])
    inside.catch_up()
    assert inside.refusals() == []
    assert ME + 1 in town.core.state.clients


def shares_a_key(status: int, value: bytes, *, released: bool = False) -> tuple[Reunion, int, int]:
    """A newcomer has had a task begun; somebody comes back who knows how the one of that key ended."""
    town = Reunion()
    town.worker(A, 1)
    town.core.client_joined(D, session.RegisterClient("new", "the secret of peer 2"), town.now)
    town.settle()
    (welcome, *_) = town.heard(D)
    assert isinstance(welcome, session.Welcome)
    own = first_id(welcome.number)
    town.tell(D, words.Functions([own], ["inc"], [b"INC"]))
    town.tell(D, words.Submit(own, [own], [b"1"], [], [], ["k"], [], True, {}))
    (attempt,) = town.window(A)
    town.client_back()
    town.remembers(C, workers=())
    if released:
        town.tell(D, words.Release([own]))
    town.tell(C, words.Functions([FIRST], ["inc"], [b"INC"]))
    town.tell(C, words.Submit(FIRST, [FIRST], [b"1"], [], [], ["k"], [], True, {}))
    town.tell(C, Known([FIRST], [status], [value], [FIRST]))
    town.tell(C, Announced(0, []))
    town.tick(RESTART_S + 0.1)
    return town, own, attempt


def test_what_one_who_comes_back_knows_is_not_made_for_others() -> None:
    """Nor told to it once more; and whatever becomes of the attempt, the value is there."""
    town, own, attempt = shares_a_key(INLINE, b"v")
    assert Disown([attempt]) in town.heard(A)
    finished = [each for each in town.heard(D) if isinstance(each, words.Finished)]
    assert [(each.tids, each.values) for each in finished] == [([own], [b"v"])]
    town.tell(A, words.Done([attempt], [words.OK_INLINE], [0.1], [1], [b"w"]))
    town.core.lost(A, "it died", town.now)
    town.settle()
    assert town.core.state.tasks[own].value == b"v"
    for peer in (C, D):
        assert not any(isinstance(each, words.Finished | words.Again) for each in town.heard(peer))


@pytest.mark.parametrize("status", [CANCELLED, LOST])
def test_what_ended_badly_for_one_who_comes_back_is_made_for_others(status: int) -> None:
    """And who has an answer is told no other."""
    town, own, attempt = shares_a_key(status, b"oops")
    assert town.window(A) == {attempt: own}
    town.tell(A, words.Done([attempt], [words.OK_INLINE], [0.1], [1], [b"w"]))
    finished = [each for each in town.heard(D) if isinstance(each, words.Finished)]
    assert [(each.tids, each.values) for each in finished] == [([own], [b"w"])]
    assert not any(isinstance(each, words.Finished) for each in town.heard(C))


def test_what_has_failed_for_one_who_comes_back_has_failed_for_all() -> None:
    """Also for what is made of it later."""
    town, own, attempt = shares_a_key(FAILED, b"oops")
    assert Disown([attempt]) in town.heard(A)
    failed = [each for each in town.heard(D) if isinstance(each, words.Failed)]
    assert [(each.tids, each.failures) for each in failed] == [([own], [b"oops"])]
    town.tell(A, words.Done([attempt], [words.OK_INLINE], [0.1], [1], [b"w"]))
    town.tell(C, words.Submit(FIRST + 1, [FIRST], [b"2"], [1], [FIRST], [], [], True, {}))
    told = [each for each in town.heard(C) if isinstance(each, words.Failed | words.Finished)]
    assert [(each.tids, type(each)) for each in told] == [([FIRST + 1], words.Failed)]
    assert town.core.state.tasks[FIRST + 1].value == b"oops"


@pytest.mark.parametrize("status", [CANCELLED, LOST])
def test_what_nobody_waits_for_is_not_told(status: int) -> None:
    """Who had it made has let go of it meanwhile: it is not made for whom it has ended for already."""
    town, own, attempt = shares_a_key(status, b"oops", released=True)
    said = town.heard(A)
    assert any(isinstance(each, words.Recall) and each.attempts == [attempt] for each in said)
    town.tell(A, words.Done([attempt], [words.OK_INLINE], [0.1], [1], [b"w"]))
    assert not any(isinstance(each, words.Finished) for each in town.heard(C))
    assert own not in town.core.state.tasks
