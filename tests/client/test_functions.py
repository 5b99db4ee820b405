"""How a client sends functions: as they are at the call, and once where that is the same."""

from __future__ import annotations

import gc
import math
import sys
import types
from typing import TYPE_CHECKING, Any

from tests.client.fake_cluster import open_blocking
from tests.client.jobs import inc
from trio_dask.client import describing
from trio_dask.messages import tasks
from trio_dask.messages.payload import pack_function

if TYPE_CHECKING:
    import pytest


def test_what_a_function_refers_to_is_as_it_is_at_the_call() -> None:
    """What it takes along by value was changed meanwhile: it is not what it was before."""
    scale = 2

    def scaled(x: int) -> int:
        return x * scale

    with open_blocking() as (client, _):
        for scale in (2, 3):
            assert client.submit(scaled, 10).result() == 10 * scale
            assert client.gather(client.map(scaled, [1, 2])) == [scale, 2 * scale]
            assert client.submit(scaled, 10, pure=True).result() == 10 * scale


def test_a_function_that_takes_nothing_along_is_sent_once() -> None:
    """Until it does: a global of a name that it uses, a default, other code."""
    namespace: dict[str, Any] = {}
    exec("def bare(x=1): return x + (extra() if x > 10 else 0)", namespace)
    bare = namespace["bare"]
    bare.__defaults__ = None
    with open_blocking() as (client, fake):
        assert [client.submit(bare, each).result() for each in range(5)] == list(range(5))
        client.flush()
        assert len(fake.told(tasks.Functions)) == 1
        namespace["extra"] = lambda: 100
        assert client.submit(bare, 11).result() == 111
        namespace["extra"] = lambda: 200
        assert client.submit(bare, 11).result() == 211
        del namespace["extra"]
        assert client.submit(bare, 5).result() == 5
        bare.__defaults__ = (7,)
        assert client.submit(bare).result() == 7
        bare.__code__ = (lambda x=1: -x).__code__
        assert client.submit(bare, 3).result() == -3
        client.flush()
    assert len(client._core.table) == 0


def test_a_function_of_a_script_is_pickled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While what it takes along is the same, which is functions, modules and constants."""
    packed = list[str]()

    def pack(fn: Any) -> bytes:
        packed.append(fn.__name__)
        return pack_function(fn)

    monkeypatch.setattr(describing, "pack_function", pack)
    space: dict[str, Any] = {"__name__": "__main__", "math": math, "by": 2}
    exec("def half(x): return x / by\ndef root(x): return math.sqrt(half(x))", space)
    with open_blocking() as (client, fake):
        for _ in range(3):
            assert client.submit(space["root"], 8).result() == 2
        assert packed == ["root"]
        space["by"] = 8
        for _ in range(2):
            assert client.gather(client.map(space["root"], [32])) == [2]
        assert packed == ["root"] * 2
        monkeypatch.setitem(sys.modules, "math.more", types.ModuleType("math.more"))
        for _ in range(2):  # which changes nothing, as it turns out
            assert client.submit(space["root"], 32).result() == 2
        assert packed == ["root"] * 3
        client.flush()
        assert len(fake.told(tasks.Functions)) == 2
        space["by"] = [8]
        exec("def half(x): return x / by[0]", space)
        for _ in range(2):
            space["by"][0] *= 4
            assert client.submit(space["root"], 32).result() == math.sqrt(32 / space["by"][0])
        assert packed == ["root"] * 5
        del space
        gc.collect()
        client.submit(inc, 1).result()
        assert len(client.describer._known) == 1


def test_a_method_of_what_changes() -> None:
    """It takes its object along, as that is at the call."""
    table = {1: 2}
    get = table.get
    with open_blocking() as (client, _):
        assert client.submit(get, 1).result() == 2
        table[1] = 3
        assert client.submit(get, 1).result() == 3
