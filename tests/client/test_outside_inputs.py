"""Inputs that a client has let go of, and that only workers have: another scheduler is told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from trio_dask.client.core import ClientCore
from trio_dask.client.core.submission import Rows
from trio_dask.messages.ids import first_id
from trio_dask.messages.reunion import HELD, Announced, Known
from trio_dask.messages.session import Resumed, Welcome
from trio_dask.messages.tasks import Finished, Put, PutAt, Release, Submit, Want
from trio_dask.messages.values import StoreDone

if TYPE_CHECKING:
    from trio_dask.messages import Message

W = "tcp://w:1"
OTHERS = first_id(9)


class Bringer:
    """A client that stores values, and the scheduler that it is told of."""

    def __init__(self) -> None:
        self.core = ClientCore("c", secret="the secret of the client")
        self.core.handle([Welcome(3, "cluster", 1)])

    def put(self, *payloads: bytes, broadcast: bool = False) -> list[int]:
        """It stores values."""
        return [tid for _, tid in self.core.put(list(payloads), broadcast=broadcast)]

    def stored(self, tids: list[int]) -> None:
        """They are with a worker."""
        count = len(tids)
        self.core.handle([Finished(tids, [1] * count, [b""] * count, [0] * count, [W], [])])

    def submit(self, *deps: int) -> int:
        """A task of these."""
        rows = Rows([b"x"], dep_counts=[len(deps)], dep_tids=list(deps))
        _, first = self.core.submit(self.core.function("f", b"code"), rows, {})
        self.core.flush()
        return first

    def again(self) -> list[Message]:
        """What another scheduler is told, before anything else."""
        self.core.flush()
        self.core.lost()
        self.core.handle([Resumed(-1), Welcome(3, "cluster", 2)])
        said, _ = self.core.flush()
        return said[: said.index(Announced(0, []))]


def known(said: list[Message]) -> dict[int, tuple[int, int]]:
    """What it says to know: how each ended, and by which id workers know it."""
    return {
        tid: (status, source)
        for each in said
        if isinstance(each, Known)
        for tid, status, source in zip(each.tids, each.statuses, each.sources, strict=True)
    }


def released(said: list[Message]) -> list[int]:
    """What it says not to want."""
    return [tid for each in said if isinstance(each, Release) for tid in each.tids]


@pytest.fixture
def bringer() -> Bringer:
    """A client that has been welcomed."""
    return Bringer()


def test_a_stored_value_that_a_task_still_needs(bringer: Bringer) -> None:
    """It is with a worker; and the client does not want it for itself."""
    used, unused = bringer.put(b"used", b"unused")
    bringer.stored([used, unused])
    task = bringer.submit(used)
    bringer.core.release([used, unused])
    said = bringer.again()
    assert known(said) == {used: (HELD, used)}
    assert released(said) == [used]
    bringer.core.release([task])
    for _ in range(20):  # the last few are remembered a little longer
        bringer.core.release([bringer.submit()])
    said = bringer.again()
    assert known(said) == {}
    assert bringer.core.descriptions.outside == {}


def test_one_that_is_held_is_told_once(bringer: Bringer) -> None:
    """As what it is."""
    (used,) = bringer.put(b"used")
    bringer.stored([used])
    bringer.submit(used)
    said = bringer.again()
    assert known(said) == {used: (HELD, used)}
    assert sum(isinstance(each, Known) for each in said) == 1
    assert released(said) == []


def test_a_value_of_somebody_else(bringer: Bringer) -> None:
    """By the ids of that one, and of those who have it."""
    ((_, tid),) = bringer.core.want([OTHERS], ["key"])
    bringer.core.handle([Finished([tid], [1], [b""], [0], [W], [OTHERS + 5])])
    task = bringer.submit(tid)
    bringer.core.release([tid])
    said = bringer.again()
    assert known(said) == {tid: (HELD, OTHERS + 5)}
    assert [(each.tids, each.targets) for each in said if isinstance(each, Want)] == [
        ([tid], [OTHERS])
    ]
    assert released(said) == [tid]
    bringer.core.release([task])
    for _ in range(20):
        bringer.core.release([bringer.submit()])
    said = bringer.again()
    assert not any(isinstance(each, Want) for each in said)
    assert bringer.core.origin(tid) == tid


def test_what_is_under_way_is_told_with_all_else(bringer: Bringer) -> None:
    """A worker that is back may have got it: that is not to be thrown away, and brought again."""
    (first, second) = bringer.put(b"1", b"2", broadcast=True)
    bringer.core.handle([PutAt([first, second], [0, 0], [W])])
    bringer.core.flush()
    bringer.core.handle_data(W, [StoreDone(1, "")])
    bringer.submit(first)
    said = bringer.again()
    puts = [each for each in said if isinstance(each, Put)]
    assert [(each.tids, each.nbytes, each.broadcast) for each in puts] == [
        ([first], [1], True),
        ([second], [1], True),
    ]
    assert known(said) == {}
    bringer.stored([first, second])
    assert not any(isinstance(each, Put) for each in bringer.again())


def test_tasks_of_graphs_are_described_again(bringer: Bringer) -> None:
    """As all others are."""
    functions = [bringer.core.function(name, name.encode()) for name in ("f", "g")]
    rows = Rows([b"1", b"2"], keys=["a", "b"], dep_counts=[0, 1], dep_tids=[first_id(3)])
    _, first = bringer.core.submit_each(functions, rows, {})
    (submit,) = [each for each in bringer.again() if isinstance(each, Submit)]
    assert (submit.first, submit.args, submit.keys) == (first, [b"1", b"2"], ["a", "b"])
    assert submit.dep_tids == [first]
