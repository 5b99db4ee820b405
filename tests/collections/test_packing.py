"""What nodes of graphs share is stored once: which values are large enough for that."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("dask._task_spec", reason="dask is not installed")

from dask._task_spec import Task

from trio_dask.client.collections import packing
from trio_dask.client.collections.packing import Packer
from trio_dask.messages.payload import sizeof

LARGE = 10_000


def packer(stored: list[Any]) -> Packer:
    """One that keeps what it stores here; its id is where."""

    def share(thing: Any) -> int:
        stored.append(thing)
        return len(stored) - 1

    return Packer(share, LARGE)


@pytest.mark.parametrize(
    "thing",
    [
        np.zeros(LARGE),
        np.array(["long" * 1000, "longer" * 1000], dtype=object),
        pd.DataFrame({"number": np.zeros(LARGE)}),
        pd.DataFrame({"text": ["long" * 1000, "longer" * 1000]}, dtype=object),
        pd.DataFrame({"text": ["long" * 1000, "longer" * 1000]}),
        pd.Series(["long" * 1000, "longer" * 1000], dtype=object),
    ],
    ids=["array", "objects", "numbers", "texts as objects", "texts", "column of objects"],
)
def test_what_is_large(thing: Any) -> None:
    """It is stored once, whoever refers to it, and however it holds its bytes."""
    stored: list[Any] = []
    by_name = packer(stored)
    assert by_name.shared(thing) == by_name.shared(thing) == 0
    assert len(stored) == 1


@pytest.mark.parametrize(
    "thing", [np.zeros(10), pd.DataFrame({"number": [1.0]}), pd.DataFrame(), "text" * LARGE, 7]
)
def test_what_is_small_or_of_no_size(thing: Any) -> None:
    """It travels with the tasks that have it."""
    stored: list[Any] = []
    assert packer(stored).shared(thing) is None
    assert not stored


def node(*things: Any) -> Any:
    """One that has these as constants."""
    return Task("node", operator.itemgetter(0), list(things))


TEXTS = pd.DataFrame({"text": ["long" * 5000, "longer" * 5000]})
MANY_KINDS = pd.DataFrame(
    {"kind": pd.Categorical([], categories=[f"kind {n}" for n in range(2000)])}
)


@pytest.mark.parametrize("frame", [TEXTS, TEXTS.astype(object), MANY_KINDS])
def test_a_frame_of_few_cells_that_is_large(frame: Any) -> None:
    """It is stored once for all nodes that have it, whatever makes it large."""
    stored: list[Any] = []
    by_name = packer(stored)
    for _ in range(2):
        kit, spec, extra = by_name.pack("name", node(frame, 1), ())
        assert extra == [0]
        assert len(spec) < LARGE
        pd.testing.assert_frame_equal(kit.call()(spec, *stored), frame)
    assert len(stored) == 1  # all of it, or what makes it large


def test_small_frames_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless the node that has them is large; then it may be because of them."""
    measured: list[Any] = []

    def measure(thing: Any) -> int:
        measured.append(thing)
        return sizeof(thing)

    monkeypatch.setattr(packing, "sizeof", measure)
    small, some = pd.DataFrame({"number": [1.0]}), pd.DataFrame({"number": np.zeros(600)})
    by_name = packer([])
    assert by_name.pack("name", node(small, TEXTS[:0]), ())[2] == []
    assert not measured
    assert by_name.pack("name", node(some), ())[2] == []
    assert len(measured) == 1
    _, spec, extra = by_name.pack("name", node(small, "text" * LARGE), ())
    assert len(spec) > LARGE
    assert extra == []
    assert measured[1:] == [small]


def test_a_thing_with_memory_that_says_nothing_of_its_cells() -> None:
    """It is measured."""

    class Odd:
        size = "much"

        def memory_usage(self, *, deep: bool) -> int:
            return 2 * LARGE + deep

    assert packer([]).pack("name", node(Odd()), ())[2] == [0]
