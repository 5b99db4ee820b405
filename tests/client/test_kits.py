"""Kits of graphs are known from one graph to the next, while what is in them stays what it is."""

from __future__ import annotations

import gc
import math
import threading
from typing import Any

from tests.client.test_core import new_core, told
from trio_dask.client.describing import Describer
from trio_dask.client.kits import KITS_MAX, Kits
from trio_dask.messages import tasks
from trio_dask.runner.graphs import GraphCall


class World:
    """A client's kits, and what it says to the scheduler."""

    def __init__(self) -> None:
        self.core = new_core()
        self.kits: Kits = Describer(self.core, None, 1000, threading.RLock()).kits

    def use(self, *things: Any, name: str = "name") -> int:
        """A graph with a kit of these things, which is over."""
        function = self.kits.function(GraphCall(name, things))
        self.core.unuse(function)
        return function.fid

    def said(self) -> tuple[int, int]:
        """How many functions were sent, and how many forgotten, since it was asked last."""
        messages = told(self.core)
        return (
            sum(len(each.fids) for each in messages if isinstance(each, tasks.Functions)),
            sum(len(each.fids) for each in messages if isinstance(each, tasks.ForgetFunctions)),
        )


def script() -> dict[str, Any]:
    """What a script defines."""
    space: dict[str, Any] = {"__name__": "__main__", "math": math, "by": 2}
    exec("def half(x): return x / by\ndef root(x): return math.sqrt(half(x))", space)
    return space


def test_the_next_graph_has_the_same_kit() -> None:
    """It is sent once, and stays."""
    world, space = World(), script()
    assert len({world.use(space["root"], math.floor) for _ in range(3)}) == 1
    assert world.said() == (1, 0)
    assert world.use(space["root"], name="other") != world.use(space["root"], math.floor)
    assert world.said() == (1, 0)


def test_what_has_changed_is_another_kit() -> None:
    """And the former one is nobody's."""
    world, space = World(), script()
    before = world.use(space["root"])
    space["by"] = 3
    assert world.use(space["root"]) != before
    assert world.said() == (2, 1)
    exec("def half(x): return x", space)
    world.use(space["root"])
    assert world.said() == (1, 1)
    assert len(world.kits) == 1


def test_others_in_the_same_place_are_others() -> None:
    """What is gone leaves its place in memory to what comes."""
    world, seen = World(), set[int]()
    for number in range(20):
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(f"def f(): return {number}", space)
        seen.add(world.use(space["f"]))
        del space
        gc.collect()
    assert len(seen) == 20
    before = world.use(len)
    world.kits._known["name", (id(abs),)] = world.kits._known["name", (id(len),)]
    assert world.use(abs) != before


def test_what_can_change_unseen_is_not_remembered() -> None:
    """Nor what is large."""
    world, space = World(), script()
    for by in ([1], "long" * 100_000):
        space["by"] = by
        world.use(space["root"])
        assert world.said() == (1, 1)
    assert len(world.kits) == 0


def test_so_many_are_remembered() -> None:
    """Those that were used last."""
    world = World()
    kept = world.use(len, name="kept")
    for number in range(KITS_MAX + 10):
        world.use(len, name=str(number))
        assert world.use(len, name="kept") == kept
    assert world.said() == (KITS_MAX + 11, 11)
    assert len(world.kits) == KITS_MAX


def test_threads_that_make_the_same_kit() -> None:
    """It has as many uses as there are users, and one for being remembered."""
    world, space = World(), script()
    gate, made = threading.Barrier(4), list[Any]()

    def use() -> None:
        gate.wait()
        made.append(world.kits.function(GraphCall("name", (space["root"],))))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    [function] = set(made)
    assert function.uses == 5
