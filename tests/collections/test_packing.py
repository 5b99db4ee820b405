"""What nodes of graphs share is stored once: which values are large enough for that."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("dask._task_spec", reason="dask is not installed")

from trio_dask.client.collections.packing import Packer

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
