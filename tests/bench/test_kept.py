"""Figures that were kept, and their page."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from bench import kept

if TYPE_CHECKING:
    from pathlib import Path


def write(directory: Path, name: str, counted: dict[str, float], **timed: float) -> None:
    """What the command writes, in short."""
    content: dict[str, Any] = {
        "machine": {
            "date": f"{name[:10]}T12:00:00",
            "python": "3.11",
            "loops/s": {"trio_dask": [2e7, 1e7]},
            "echoes/s": {"trio_dask": [9e3, 8.5e3]},
        },
        "medians": {"trio_dask": {"latency": timed}} if timed else {},
        "counted": counted,
    }
    (directory / f"{name}.json").write_text(json.dumps(content))


def test_times_are_side_by_side(tmp_path: Path) -> None:
    """In the order of their days; a figure that one lacks is a dash, a change is in per cent."""
    write(tmp_path, "2026-02-01-second", {"calls": 150.0, "bytes": 40.0}, **{"p50 ms": 0.5})
    write(tmp_path, "2026-01-01-first", {"calls": 200.0, "bytes": 40.2})
    write(tmp_path, "2026-03-01-third", {"calls": 150.0, "new": 7.0}, **{"p50 ms": 0.25})
    lines = kept.page(kept.read(tmp_path)).splitlines()
    assert "| | 2026-01-01-first | 2026-02-01-second | 2026-03-01-third |" in lines
    assert "| calls | 200 | 150 (-25%) | 150 |" in lines
    assert "| bytes | 40.2 | 40 | – |" in lines
    assert "| new | – | – | 7 |" in lines
    assert "| p50 ms | – | 0.5 | 0.25 |" in lines
    assert "| million rounds of a plain loop a second | 10 to 20 | 10 to 20 | 10 to 20 |" in lines
    assert (
        "| echoes between two processes a second | 8,500 to 9,000 | 8,500 to 9,000 | 8,500 to 9,000 |"
        in lines
    )
    assert "| day | 2026-01-01 | 2026-02-01 | 2026-03-01 |" in lines


def test_of_many_the_last_are_shown(tmp_path: Path) -> None:
    """And none is no error."""
    assert "None have been kept" in kept.page(kept.read(tmp_path))
    for day in range(10, 20):
        write(tmp_path, f"2026-01-{day}", {"calls": float(day)})
    text = kept.page(kept.read(tmp_path))
    assert "2026-01-13 |" not in text
    assert f"| calls | {14} | 15 (+7%) |" in text


@pytest.mark.parametrize("content", ["{}", "[]", "7", '{"machine": {}}'])
def test_what_is_something_else_is_named(tmp_path: Path, content: str) -> None:
    """An error says which file."""
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(ValueError, match=r"odd\.json"):
        kept.read(tmp_path)


def test_what_is_kept_here_can_be_read() -> None:
    """Each has counts."""
    found = kept.read()
    assert found
    assert all(each.counted for each in found)
