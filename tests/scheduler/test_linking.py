"""A task with very many inputs: others are heard while it is connected with them."""

from __future__ import annotations

import pytest

from tests.scheduler.conftest import Driver
from trio_dask.messages import Message, tasks as words
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.invariants import check
from trio_dask.scheduler.core.linking import INPUTS_MAX

CLIENT, OTHER, A = 1, 2, 10
MANY = 3 * INPUTS_MAX


class Slowly:
    """A task with `MANY` inputs, of which a first slice is connected, and what may happen now."""

    def __init__(self, *, worker: bool = False, key: str = "") -> None:
        self.cluster = Driver()
        self.first = self.cluster.client(CLIENT)
        self.other = self.cluster.client(OTHER)
        if worker:
            self.cluster.worker(A)
        self.tids = self.cluster.submit(self.first, [b"x"] * MANY)
        self.tid = self.tids[-1] + 1
        self.key = [key] if key else []

    def begin(self, deps: list[int]) -> None:
        """The client submits it."""
        message = words.Submit(
            self.tid, [self.first], [b"x"], [len(deps)], deps, self.key, [], wanted=True,
            options={},
        )  # fmt: skip
        self.hears(CLIENT, message)
        assert self.cluster.core.busy
        assert self.tid not in self.cluster.core.state.tasks

    def hears(self, peer: int, message: Message) -> None:
        """This is said in between."""
        self.cluster.core.handle(peer, message, 0.0)
        check(self.cluster.core.state)

    def given(self) -> list[int]:
        """The attempts that the worker has."""
        return list(self.cluster.core.state.workers["tcp://host:10"].window)

    def run_all(self) -> None:
        """The worker does all there is."""
        cluster = self.cluster
        cluster.settle()
        if A not in cluster.core.state.peers:
            cluster.heard(A)
            cluster.worker(A)
        while runs := [each for each in cluster.heard(A) if isinstance(each, words.Run)]:
            for run in runs:
                cluster.done(A, run)

    def told(self, kind: type[words.Finished | words.Failed], peer: int = CLIENT) -> list[int]:
        """Which tasks the client was told of in this way."""
        heard = self.cluster.heard(peer, keep=True)
        return [tid for each in heard if isinstance(each, kind) for tid in each.tids]

    def at_rest(self) -> bool:
        """Whether nothing is left when nobody wants anything."""
        self.cluster.tell(CLIENT, words.Release([*self.tids, self.tid]))
        return self.cluster.at_rest()


@pytest.mark.parametrize("times", [1, 2])
def test_it_runs_when_all_are_there(times: int) -> None:
    """Nobody is told twice, and nothing is left in the end; an input that is named twice is one."""
    slowly = Slowly()
    slowly.begin(slowly.tids * times)
    slowly.run_all()
    assert slowly.told(words.Finished) == [*slowly.tids, slowly.tid]
    assert slowly.at_rest()


@pytest.mark.parametrize("backwards", [False, True])
def test_inputs_are_made_and_lost_meanwhile(*, backwards: bool) -> None:
    """Those that it is connected with as well as those that it is not."""
    slowly = Slowly(worker=True)
    attempts = slowly.given()
    count = len(attempts)
    slowly.begin(slowly.tids[::-1] if backwards else slowly.tids)
    made = words.Done(attempts, [words.OK_HELD] * count, [1e-6] * count, [9] * count, [b""] * count)
    slowly.hears(A, made)
    assert slowly.cluster.core.state.tasks[slowly.tids[0]].state == st.DONE
    slowly.cluster.core.left(A, "it died")
    slowly.cluster.settle()
    assert slowly.cluster.core.state.tasks[slowly.tid].missing == MANY
    slowly.run_all()
    assert slowly.told(words.Finished)[-1] == slowly.tid
    assert slowly.at_rest()


@pytest.mark.parametrize("backwards", [False, True])
def test_an_input_fails_meanwhile(*, backwards: bool) -> None:
    """The task shares its end, once it is known."""
    slowly = Slowly(worker=True)
    attempts = slowly.given()[:1]
    slowly.begin(slowly.tids[::-1] if backwards else slowly.tids)
    slowly.hears(A, words.Done(attempts, [words.ERROR], [0.1], [0], [b"oops"]))
    slowly.run_all()
    assert slowly.told(words.Failed) == [slowly.tids[0], slowly.tid]
    assert slowly.at_rest()


def test_its_client_leaves_meanwhile() -> None:
    """Nothing is left of it, nor of its inputs."""
    slowly = Slowly()
    slowly.begin(slowly.tids)
    slowly.cluster.leave(CLIENT)
    assert slowly.cluster.at_rest()


def test_what_stayed_for_its_sake_only_goes_with_it() -> None:
    """An input that another client lets go of meanwhile, before the task's own client leaves."""
    slowly = Slowly()
    (theirs,) = slowly.cluster.submit(slowly.other, [b"x"], peer=OTHER)
    slowly.begin([theirs, *slowly.tids])
    slowly.hears(OTHER, words.Release([theirs]))
    assert theirs in slowly.cluster.core.state.tasks
    slowly.cluster.leave(CLIENT)
    assert slowly.cluster.at_rest()


@pytest.mark.parametrize("at", [1, MANY])
def test_an_input_that_nobody_knows(at: int) -> None:
    """The task fails, and the others are as they were."""
    slowly = Slowly()
    deps = [*slowly.tids[:at], slowly.tid + 7, *slowly.tids[at:]]
    if at == 1:  # it is in the first slice: there is no second
        slowly.cluster.submit(slowly.tid, [b"x"], [deps])
    else:
        slowly.begin(deps)
        slowly.cluster.settle()
    tasks = slowly.cluster.core.state.tasks
    assert tasks[slowly.tid].state == st.FAILED
    assert not any(tasks[tid].dependents for tid in slowly.tids)
    slowly.run_all()
    assert slowly.told(words.Failed) == [slowly.tid]
    assert slowly.at_rest()


def test_another_client_makes_it_meanwhile() -> None:
    """Under its key: then there is one task, which both want."""
    slowly = Slowly(key="total")
    slowly.begin(slowly.tids)
    other = words.Submit(
        slowly.other, [slowly.other], [b"y"], [], [], ["total"], [], wanted=True, options={}
    )
    slowly.hears(OTHER, other)
    slowly.cluster.settle()
    tasks = slowly.cluster.core.state.tasks
    assert tasks[slowly.tid] is tasks[slowly.other]
    assert not any(tasks[tid].dependents for tid in slowly.tids)
    slowly.run_all()
    assert slowly.tid in slowly.told(words.Finished)
    assert slowly.told(words.Finished, OTHER) == [slowly.other]
    slowly.cluster.tell(OTHER, words.Release([slowly.other]))
    assert slowly.at_rest()
