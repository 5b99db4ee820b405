"""How large a value is, without looking at all of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from trio_dask.messages.payload import sizeof


@pytest.mark.parametrize(
    ("value", "least", "most"),
    [
        (b"x" * 10_000, 10_000, 11_000),
        (np.zeros(10_000), 80_000, 81_000),
        ([np.zeros(10_000)] * 100, 8_000_000, 8_200_000),
        ({str(i): "x" * 1000 for i in range(100)}, 100_000, 130_000),
        (memoryview(bytes(5000)), 5000, 5200),
        ([[[[[["x" * 1000]]]]]], 1, 2000),
        (None, 1, 100),
    ],
    ids=lambda each: type(each).__name__,
)
def test_sizes_are_about_right(value: Any, least: int, most: int) -> None:
    """Containers count what they hold, arrays their memory."""
    assert least <= sizeof(value) <= most


def test_what_dask_knows_of_a_type_counts() -> None:
    """If its `sizeof` is loaded: what is registered there, also inside a container."""
    dasks = pytest.importorskip("dask.sizeof", reason="a type is registered there")

    class Remote:
        """Large, and does not look like it."""

    assert sizeof(Remote()) < 1_000
    dasks.sizeof.register(Remote, lambda value: 1_000_000)
    assert sizeof(Remote()) == 1_000_000
    assert sizeof([Remote()] * 100) >= 100_000_000
    dasks.sizeof.register(Remote, lambda value: 1 / 0)
    assert 0 < sizeof(Remote()) < 1_000


def test_sizes_never_fail() -> None:
    """Cycles end, and values that cannot be looked at still have one."""

    class Odd:
        @property
        def nbytes(self) -> int:
            raise SystemExit

    around: list[Any] = []
    around.append(around)
    assert sizeof(around) > 0
    assert sizeof(Odd()) > 0
    assert sizeof(SimpleNamespace(x=5)) > 0
