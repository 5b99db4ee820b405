"""The last lines, as many as there is room for."""

from __future__ import annotations

from typing import Any

import pytest

from trio_dask.messages.inquiring import unpacked
from trio_dask.worker.logs import answer

LINES = [
    {"ago_s": float(ago), "level": "INFO", "logger": "trio_dask.worker", "text": f"line {ago}"}
    for ago in range(100)
]
OUTPUT = [f"printed {number}" for number in range(30)]


def told(**params: Any) -> tuple[list[str], list[str]]:
    """The texts of the log, and what was printed."""
    found = unpacked(answer(params, LINES, OUTPUT))
    return [each[3] for each in found["lines"]], found["output"]


def test_all_of_them() -> None:
    """The newest line first, what was printed as it was printed."""
    lines, output = told(bytes_max=100_000)
    assert lines == [f"line {ago}" for ago in range(100)]
    assert output == OUTPUT


def test_as_many_as_are_asked_for() -> None:
    """Of the log."""
    assert told(n=3, bytes_max=100_000)[0] == ["line 0", "line 1", "line 2"]
    assert told(n=0, bytes_max=100_000)[0] == []
    assert len(told(n=-1, bytes_max=100_000)[0]) == 100


@pytest.mark.parametrize("room", [0, 50, 200, 1000, 2000])
def test_as_many_as_there_is_room_for(room: int) -> None:
    """The newest of both."""
    said = answer({"bytes_max": room}, LINES, OUTPUT)
    assert len(said) <= max(room, 16)
    found = unpacked(said)
    assert [each[3] for each in found["lines"]] == [f"line {n}" for n in range(len(found["lines"]))]
    assert found["output"] == OUTPUT[len(OUTPUT) - len(found["output"]) :]
