"""Memory gets short, and values are too small for files of their own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.worker.test_room import a_core, made, put
from tests.worker.worker_driver import ME, after, run
from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.sealing import Pressure, Slab, Unload
from trio_dask.messages.tasks import Free
from trio_dask.messages.values import UNPICKLABLE, Give, Values
from trio_dask.worker.core import MemoryRules, Spill, ToRunner
from trio_dask.worker.core.invariants import violations

#: Those of ten bytes have no file of their own; twenty bytes are worth one.
SMALL = MemoryRules(limit=100, file_bytes_min=11, slab_bytes_min=20)


def test_small_values_go_together() -> None:
    """Not before there are enough of them for a file, and then at least so many."""
    core = a_core(SMALL)
    assert put(core, 1, 2, 3, 4, 5, 6) == []
    assert put(core, 7) == [Spill([1, 2])]
    core.moved(1, b"on disk")
    core.moved(2, b"on disk")
    assert after(core) == []
    assert core.state.room.managed == 50
    assert violations(core.state) == []
    few = a_core(replace(SMALL, slab_bytes_min=200))
    assert put(few, *range(1, 16)) == [ToRunner(1, [Pressure(2)])]


def test_large_values_go_first() -> None:
    """Each of them gives more room for less."""
    core = a_core(SMALL)
    assert put(core, 1, 2, 3, 4) == []
    made(core, 1, nbytes=20)
    assert put(core, 5) == [ToRunner(1, [Unload(1, [1001])])]


def test_small_values_of_the_runner() -> None:
    """It puts them into one file, and says where each is."""
    core = a_core(SMALL)
    [asked] = made(core, 1, 2, 3, 4, 5, 6, 7)
    assert asked == ToRunner(1, [Unload(1, [1001, 1002])])
    core.on_runner(1, Slab([1001, 1002], [3, 4], [b"onefour"]))
    core.on_runner(1, Values(1, [], [], [], [], last=True))
    assert after(core) == [ToRunner(1, [Free([1001, 1002])])]
    store = core.state.store
    assert (store.get(1001), store.get(1002)) == (b"one", b"four")
    assert store.filed_bytes == core.state.room.filed_bytes == 7
    assert violations(core.state) == []


def test_what_nobody_needs_any_more_is_in_a_file_for_nothing() -> None:
    """Let go of while it was written, or never asked for: the others are there all the same."""
    core = a_core(SMALL)
    made(core, 1, 2, 3, 4, 5, 6, 7)
    core.on_scheduler(Free([1001]))
    assert after(core) == [ToRunner(1, [Free([1001])])]
    core.on_runner(1, Slab([1001, 5, 1002], [3, 1, 4], [b"one5four"]))
    core.on_runner(1, Values(1, [], [], [], [], last=True))
    assert after(core) == [ToRunner(1, [Free([1002])])]
    assert core.state.store.held_by("me") == {1002}
    assert violations(core.state) == []


@pytest.mark.parametrize("slab", [
    Slab([1001, 1002], [3, 5], [b"onefour"]),
    Slab([1001, 1002], [-3, 5], [b"onefour"]),
    Slab([1001], [3], []),
    Slab([1001], [3], [b"one", b"two"]),
])  # fmt: skip
def test_values_that_are_not_in_their_file(slab: Slab) -> None:
    """A runner is users' code; nothing has changed."""
    core = a_core(SMALL)
    made(core, 1, 2, 3, 4, 5, 6, 7)
    with pytest.raises(RemoteProtocolError):
        core.on_runner(1, slab)
    assert len(core.state.store) == 0


def test_copies_in_the_runner_cost_nothing_to_let_go_of() -> None:
    """What came back from a file of many is dropped before anything is written."""
    core = a_core(SMALL)
    put(core, 1, 2, 3, 4, 5, 6, 7)
    core.moved(1, b"0123456789")
    core.moved(2, b"0123456789")
    core.on_scheduler(run((1, {1: ME})))
    after(core)
    assert core.state.room.copies == {1: 10}
    assert violations(core.state) == []
    assert put(core, 8) == [ToRunner(1, [Free([1])])]
    assert 1 not in core.state.runners[1].held
    assert violations(core.state) == []
    core.on_scheduler(run((2, {1: ME})))
    [told] = after(core)
    assert isinstance(told, ToRunner)
    assert told.messages[0] == Give([1], [b"0123456789"])
    core.on_scheduler(Free([1]))
    after(core)
    assert core.state.room.copies == {}
    assert violations(core.state) == []


def test_small_values_that_cannot_be_pickled() -> None:
    """They stay, and others go in their place."""
    core = a_core(SMALL)
    made(core, 1, 2, 3, 4, 5, 6, 7)
    core.on_runner(1, Slab([1002], [4], [b"four"]))
    core.on_runner(1, Values(1, [1001], [UNPICKLABLE], [b"why"], [], last=True))
    after(core)
    assert core.state.room.fixed == {1001: 10}
    assert violations(core.state) == []
