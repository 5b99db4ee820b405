"""Those who come back to a scheduler that does not know them tell it all, and it makes its tables of that."""

from __future__ import annotations

import pytest

from tests.scheduler.reunion_driver import (
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
from trio_dask.messages import nested, reunion, session, tasks as words
from trio_dask.messages.fleet import Dismiss, Farewell, Leave
from trio_dask.messages.ids import first_attempt, first_id
from trio_dask.messages.nested import Numbers
from trio_dask.messages.plugins import Plugins, PluginsDone
from trio_dask.messages.reunion import Announced, Attempts, Disown, Holdings, Known
from trio_dask.scheduler.core import Misuse
from trio_dask.scheduler.core.reunion import ANOTHER


@pytest.fixture
def town() -> Reunion:
    """A new scheduler, to which a worker and a client come back."""
    return begun()


def test_what_runs_goes_on(town: Reunion) -> None:
    """And what has ended is not done again: only the third of these is given out."""
    town.tell(A, Holdings([FIRST + 1], [9]))
    town.tell(A, Attempts([OLD], [FIRST], [1]))
    town.tell(A, Announced(2, []))
    assert not town.core.state.tasks  # others may have more
    town.describes([b"1", b"2", b"3"])
    (_, run) = town.heard(A)[-2:]
    assert isinstance(run, words.Run)
    assert run.tids == [FIRST + 2]
    assert run.attempts[0] > first_attempt(4)
    assert town.window(A)[OLD] == FIRST
    town.tell(A, words.Done([OLD], [words.OK_INLINE], [0.1], [1], [b"v"]))
    finished = [each for each in town.heard(C) if isinstance(each, words.Finished)]
    assert [tid for each in finished for tid in each.tids] == [FIRST + 1, FIRST]


def test_clients_know_small_values(town: Reunion) -> None:
    """They are values again, and bad ends that they know are ends."""
    town.tell(A, Announced(1, []))
    known = (FIRST, reunion.INLINE, b"v"), (FIRST + 1, reunion.FAILED, b"oops")
    town.describes([b"1", b"2"], *known)
    assert not any(isinstance(each, words.Run) for each in town.heard(A))
    assert town.core.state.tasks[FIRST].value == b"v"


def test_a_held_value_that_is_gone_is_made_again(town: Reunion) -> None:
    """Its client hears that it has to wait again."""
    town.tell(A, Announced(1, []))
    town.describes([b"1"], (FIRST, reunion.HELD, b""))
    assert isinstance(town.heard(C)[-1], words.Again)
    assert [each.tids for each in town.heard(A) if isinstance(each, words.Run)] == [[FIRST]]


def test_a_value_that_is_looked_for(town: Reunion) -> None:
    """Its client hears where it is, or that it is lost."""
    town.tell(A, Holdings([FIRST + 1], [9]))
    town.tell(A, Announced(1, []))
    ids = [FIRST + 1, FIRST + 2]
    town.tell(C, Known(ids, [reunion.SOUGHT] * 2, [b"", b""], ids))
    town.tell(C, Announced(0, []))
    lost, found = town.heard(C)[-2:]
    assert isinstance(found, words.Finished | words.Lost)
    assert isinstance(lost, words.Finished | words.Lost)
    assert {type(each): each.tids for each in (lost, found)} == {
        words.Finished: [FIRST + 1],
        words.Lost: [FIRST + 2],
    }


def test_nobody_needs_it_any_more(town: Reunion) -> None:
    """What no client describes is stopped, and let go of; what that still says is not heard."""
    town.tell(A, Holdings([FIRST + 8], [9]))
    town.tell(A, Attempts([OLD], [FIRST + 9], [1]))
    town.tell(A, Announced(1, []))
    town.describes([b"1"])
    said = town.heard(A)
    assert Disown([OLD]) in said
    assert words.Free([FIRST + 8]) in said
    town.tell(A, words.Done([OLD], [words.OK_HELD], [0.1], [1], [b""]))
    assert words.Free([FIRST + 9]) in town.heard(A)


@pytest.mark.parametrize("status", [words.ERROR, words.OK_HELD])
def test_a_value_that_is_needed_stays(town: Reunion, status: int) -> None:
    """Whatever comes of another attempt at it, which the worker has heard too late to be none."""
    town.tell(A, Holdings([FIRST], [9]))
    town.tell(A, Attempts([OLD], [FIRST], [1]))
    town.tell(A, Announced(1, []))
    town.describes([b"1"])
    assert Disown([OLD]) in town.heard(A)
    town.tell(A, words.Done([OLD], [status], [0.1], [9], [b""]))
    assert not any(isinstance(each, words.Free) for each in town.heard(A))
    assert FIRST in town.core.state.workers[f"tcp://host:{A}"].held


@pytest.mark.parametrize("status", [words.OK_INLINE, words.OK_HELD])
def test_a_value_that_is_being_made_there_stays(town: Reunion, status: int) -> None:
    """Of two attempts one counts; what the other made goes only if that does not make it, too."""
    town.tell(A, Attempts([OLD, OLD + 1], [FIRST, FIRST], [1, 1]))
    town.tell(A, Announced(2, []))
    town.describes([b"1"])
    assert Disown([OLD + 1]) in town.heard(A)
    town.tell(A, words.Done([OLD + 1], [words.OK_HELD], [0.1], [9], [b""]))
    assert not any(isinstance(each, words.Free) for each in town.heard(A))
    town.tell(A, words.Done([OLD], [status], [0.1], [9], [b""]))
    freed = [each.tids for each in town.heard(A) if isinstance(each, words.Free)]
    assert freed == ([] if status == words.OK_HELD else [[FIRST]])


def test_all_are_waited_for() -> None:
    """Whoever is remembered: nothing is given out before; but not for ever."""
    town = Reunion()
    town.client_back()
    town.remembers(C, workers=(A, B))
    town.describes([b"1"])
    town.worker_back(A)
    town.remembers(A, workers=(A, B))
    town.tell(A, Announced(1, []))
    assert not any(isinstance(each, words.Run) for each in town.heard(A))
    town.tick(RESTART_S + 0.1)
    assert [each.tids for each in town.heard(A) if isinstance(each, words.Run)] == [[FIRST]]
    assert town.core.state.epoch == 4


def test_who_is_new_waits_as_well(town: Reunion) -> None:
    """Its number is none that one who comes back may have."""
    town.core.client_joined(D, session.RegisterClient("new"), town.now)
    town.settle()
    assert town.heard(D) == []
    town.tell(A, Announced(1, []))
    town.describes([b"1"])
    (welcome,) = town.heard(D)
    assert isinstance(welcome, session.Welcome)
    assert welcome.number > ME


@pytest.mark.parametrize("asks", [True, False])
def test_a_newcomer_whose_connection_breaks_while_it_waits(town: Reunion, *, asks: bool) -> None:
    """It waits on the next one, even if nobody has noticed that the first is gone."""
    new = session.RegisterClient("new", "the secret of a newcomer")
    town.core.client_joined(D, new, town.now)
    if asks:
        assert town.core.resume(session.Resume(new.secret, 0), town.now) is None
        assert not town.core.state.reunion.newcomers
    town.core.client_joined(D + 1, new, town.now)
    town.tell(A, Announced(1, []))
    town.tell(C, Announced(0, []))
    assert town.core.work() == []
    assert D not in town.core.state.peers
    assert any(isinstance(each, session.Welcome) for each in town.heard(D + 1))


def test_newcomers_have_numbers_that_nobody_else_can_have() -> None:
    """Not even one whom the scheduler before took in, and of whom nobody has heard."""
    numbers = []
    for epoch in range(3, 9):
        town = Reunion()
        town.worker_back(epoch=epoch)
        town.remembers(A, clients=())
        town.tell(A, Announced(1, []))
        town.core.client_joined(D, session.RegisterClient("new"), town.now)
        numbers.append(town.core.state.clients_ever)
    assert len(set(numbers)) == len(numbers)
    assert min(numbers) > 1000  # of those before, too, who come later


def test_a_viewer_of_the_dashboard_takes_nobodys_place() -> None:
    """It asks while others are still on their way back, and is answered when all are here."""
    town, hand = Reunion(), 99
    town.client_back(C, ME)
    town.core.local_joined(hand, "dashboard")
    town.remembers(C, workers=(), clients=(ME, OTHER))
    town.tell(C, Announced(0, []))
    town.tell(hand, session.Ask(1, "counts", {}))
    assert town.heard(hand) == []
    town.client_back(D, OTHER)
    town.tell(D, Announced(0, []))
    (answer,) = town.heard(hand)
    assert isinstance(answer, session.Answer)
    assert {ME, OTHER} < town.core.state.clients.keys()


def test_another_cluster(town: Reunion) -> None:
    """There is one that this scheduler belongs to."""
    message = session.RegisterClient("x", "the secret of another", 9, "yet another", 3)
    with pytest.raises(Misuse, match=ANOTHER):
        town.core.client_joined(D, message, town.now)


# ---------------------------------------------------------------- late


def late(town: Reunion) -> int:
    """Worker B has the attempt that A had, which has been given up and comes back; that attempt."""
    town.tell(A, Announced(1, []))
    town.describes([b"1"])
    (attempt,) = town.window(A)
    town.core.lost(A, "test", town.now)
    town.worker_back(B)
    town.tell(B, Announced(1, []))
    town.tick(RESTART_S + 0.1)
    assert list(town.window(B).values()) == [FIRST]
    town.heard(A)
    town.worker_back(A)
    return attempt


def test_one_that_has_been_given_up(town: Reunion) -> None:
    """What it runs is made elsewhere by now, and is stopped. Before it has told, it gets nothing."""
    attempt = late(town)
    town.submit(FIRST + 1, [b"2", b"3"])
    assert not town.window(A)
    town.tell(A, Attempts([attempt], [FIRST], [1]))
    town.tell(A, Announced(1, []))
    assert Disown([attempt]) in town.heard(A)
    assert list(town.window(A).values()) == [FIRST + 1]


def test_what_runs_alone_waits_until_a_worker_has_told(town: Reunion) -> None:
    """It is not sent to one of which nobody knows what it runs."""
    late(town)
    town.tell(B, words.Slots(0))
    town.tell(B, words.RunnerDied(list(town.window(B)), [], [], {"signal": 9, "oom": True}))
    assert not town.window(A)
    town.tell(A, Announced(1, []))
    assert list(town.window(A).values()) == [FIRST]


def test_one_that_is_to_leave(town: Reunion) -> None:
    """It says so before anything is given to it, and may go when it is empty."""
    town.tell(A, Leave("it is told to", at_once=False))
    town.tell(A, Announced(1, []))
    town.describes([b"1"])
    said = town.heard(A)
    assert any(isinstance(each, Farewell) for each in said)
    assert not any(isinstance(each, words.Run | Dismiss) for each in said)


# ---------------------------------------------------------------- clients inside tasks


def test_numbers_of_clients_inside_tasks(town: Reunion) -> None:
    """Those that a runner has from before it may use; a number that two have was used by one."""
    number = 40
    town.worker_back(B)
    for worker, used in ((A, 0), (B, 3)):
        town.tell(worker, Numbers([number], [first_id(number) + used]))
        town.tell(worker, Announced(1, []))
    town.describes([b"1"])
    (attempt,) = town.window(A) or town.window(B)
    peer = A if town.window(A) else B
    town.core.nested_joined(-1, peer, nested.NestedJoin(attempt, number))
    town.settle()
    assert town.core.state.clients[number].nest is not None


def test_numbers_that_cannot_be(town: Reunion) -> None:
    """They are said to make no sense before anything is done with them."""
    for numbers in (Numbers([0], [0]), Numbers([40], [7]), Numbers([1 << 30], [1 << 30])):
        with pytest.raises(Misuse, match="numbers for clients of tasks that cannot be"):
            town.tell(A, numbers)


def test_numbers_of_one_that_comes_back_late(town: Reunion) -> None:
    """They were kept for it: a task there may take one that it was given before."""
    town.tell(A, Announced(1, []))
    town.tell(A, nested.NumbersWanted(1))
    town.describes([b"1"])
    (numbers,) = [each for each in town.heard(A) if isinstance(each, Numbers)]
    town.core.lost(A, "test", town.now)
    town.tick(RESTART_S + 0.1)
    town.worker_back(B)
    town.tell(B, Announced(1, []))
    town.tell(B, nested.NumbersWanted(1))
    (others,) = [each for each in town.heard(B) if isinstance(each, Numbers)]
    assert others.numbers != numbers.numbers
    town.worker_back(A)
    town.tell(A, numbers)
    town.tell(A, Announced(1, []))
    town.submit(FIRST + 1, [b"2"])
    (attempt,) = town.window(A)
    town.core.nested_joined(-1, A, nested.NestedJoin(attempt, numbers.numbers[0]))
    town.settle()
    assert numbers.numbers[0] in town.core.state.clients


def plugins_said(town: Reunion, peer: int) -> list[tuple[list[str], list[bytes]]]:
    """Which plugins the worker is to set up, or tear down."""
    return [(each.names, each.blobs) for each in town.heard(peer) if isinstance(each, Plugins)]


def describes_with(town: Reunion, deadline: float) -> None:
    """A client describes a task again of which so much time is left."""
    town.tell(C, words.Functions([FIRST], ["inc"], [b"INC"]))
    options = {"deadline": deadline}
    town.tell(C, words.Submit(FIRST, [FIRST], [b"a"], [], [], [], [], True, options))
    town.now += 1.0
    town.tell(C, Announced(0, []))


def is_over(town: Reunion, at: float) -> bool:
    """Whether the client is told by then that the task's time is up."""
    town.now = at
    town.core.expire(at)
    town.settle()
    return any(isinstance(each, words.Failed) for each in town.heard(C))


@pytest.mark.parametrize("looks", [False, True])
def test_what_is_left_until_a_deadline_counts_from_when_it_was_told(
    town: Reunion, *, looks: bool
) -> None:
    """Not from when the scheduler last had something to do, nor from when all were back."""
    town.now = 2.0
    describes_with(town, 5.0)
    if looks:
        town.tick(0.5)
    town.now = 4.0
    town.tell(A, Announced(0, []))
    assert not town.core.state.reunion.open
    assert town.core.state.now == 4.0
    assert not is_over(town, 6.9)
    assert is_over(town, 7.0)


def test_the_deadlines_of_one_that_comes_back_late(town: Reunion) -> None:
    """The same, when nobody else is waited for."""
    town.tell(A, Announced(0, []))
    town.leave(C)
    town.tick(RESTART_S + 1)
    assert not town.core.state.reunion.open
    town.client_back()
    begun = town.now = town.now + 2.0
    describes_with(town, 5.0)
    assert not is_over(town, begun + 4.9)
    assert is_over(town, begun + 5.0)


def test_plugins_are_adopted_from_workers_and_are_everywhere_again() -> None:
    """One that a worker lacks is set up there; where it cannot be, it is taken from all."""
    town = Reunion()
    town.worker_back(A)
    town.worker_back(B)
    town.remembers(A, workers=(A, B), clients=())
    town.remembers(B, workers=(A, B), clients=())
    town.tell(A, Plugins(0, ["p"], [b"1"]))
    town.tell(A, Plugins(0, ["q"], [b"2"]))
    town.tell(A, Announced(1, []))
    town.tell(B, Plugins(0, ["p"], [b"1"]))
    town.tell(B, Announced(1, []))
    assert town.core.state.plugins.there == {"p": b"1", "q": b"2"}
    assert plugins_said(town, A) == []
    [asked] = [each for each in town.heard(B, keep=True) if isinstance(each, Plugins)]
    assert (asked.names, asked.blobs) == (["q"], [b"2"])
    assert asked.serial > first_attempt(4)  # no answer to the last scheduler is one to this
    town.tell(B, PluginsDone(asked.serial, [b"it fails here"]))
    assert town.core.state.plugins.there == {"p": b"1"}
    assert plugins_said(town, A) == [(["q"], [b""])]
    assert not town.core.state.plugins.changes


def test_who_comes_late_gets_the_plugins_that_there_are_by_now(town: Reunion) -> None:
    """In their order, and what is none any more is torn down."""
    town.tell(A, Plugins(0, ["p"], [b"1"]))
    town.tell(A, Plugins(0, ["q"], [b"2"]))
    town.tell(A, Announced(1, []))
    town.describes([])
    town.worker_back(B, epoch=4)
    town.tell(B, Plugins(0, ["old"], [b"0"]))
    town.tell(B, Plugins(0, ["q"], [b"2"]))
    town.tell(B, Announced(1, []))
    assert plugins_said(town, B) == [(["old"], [b""]), (["p"], [b"1"]), (["q"], [b"2"])]


def test_plugins_that_cannot_be_are_refused(town: Reunion) -> None:
    """As from nobody else."""
    with pytest.raises(Misuse, match="plugins"):
        town.tell(A, Plugins(0, ["p"], [b""]))
