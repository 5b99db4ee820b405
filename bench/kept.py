"""Figures that were kept, one file for each time, and the page that shows them side by side.

What is counted is the same on every machine, so there each time is compared with the one before.
What is timed belongs to a machine and a moment, of which each file says how fast a plain loop was.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

DIRECTORY: Final = Path(__file__).parent / "history"
#: So many of the last times are on the page.
SHOWN_MAX: Final = 6
#: A count that differs by more has changed: memory is not quite the same each time.
_CHANGED: Final = 0.02
_NOTHING: Final = "–"
#: How fast the machine was: for people, in the file, and of how many.
_SPEEDS: Final = (
    ("million rounds of a plain loop a second", "loops/s", 1e6),
    ("echoes between two processes a second", "echoes/s", 1),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """What `python -m bench --json` wrote once."""

    name: str  # of the file: day, and what was new
    machine: Mapping[str, Any]
    medians: Mapping[str, Mapping[str, Mapping[str, float]]]  # by system, case, figure
    counted: Mapping[str, float]


def read(directory: Path = DIRECTORY) -> list[Kept]:
    """All that were kept, the oldest first: names begin with the day.

    Raises:
        ValueError: a file has no figures; the text says which.
    """
    found: list[Kept] = []
    for path in sorted(directory.glob("*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        try:
            found.append(
                Kept(path.stem, content["machine"], content["medians"], content["counted"])
            )
        except (KeyError, TypeError):
            msg = f"{path} is not what `python -m bench --json` writes"
            raise ValueError(msg) from None
    return found


def page(kept: Sequence[Kept]) -> str:
    """Markdown: the last times side by side, counts first."""
    parts = [
        "# Benchmarks, kept",
        (
            "Figures of `python -m bench`, as they were kept in `bench/history`. "
            "[What they mean, beside other systems](../../explanation/performance.md)."
        ),
    ]
    shown = kept[-SHOWN_MAX:]
    if not shown:
        return "\n\n".join([*parts, "None have been kept yet."]) + "\n"
    heads = [each.name for each in shown]
    parts += [
        "## Counted",
        (
            "For each no-op, and without a clock, so that these are the same on every machine. "
            "In brackets what has changed since the time before."
        ),
        _table(heads, _counted(shown)),
    ]
    cases = dict.fromkeys(case for each in shown for case in each.medians.get("trio_dask", {}))
    if cases:
        parts += [
            "## Timed",
            "Of trio_dask alone, medians. They move with the machine, and with what else it does.",
            _table(heads, _machine(shown)),
        ]
    for case in cases:
        parts += [f"### {case}", _table(heads, _timed(shown, case))]
    parts += [
        "## How to add one",
        "```console\n$ python -m bench --json bench/history/2026-11-27-what-is-new.json\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _counted(shown: Sequence[Kept]) -> Iterable[tuple[str, list[str]]]:
    for name in sorted({name for each in shown for name in each.counted}):
        cells: list[str] = []
        before: float | None = None
        for each in shown:
            value = each.counted.get(name)
            change = ""
            if value is not None and before and abs(value / before - 1) > _CHANGED:
                change = f" ({value / before - 1:+.0%})"
            cells.append(_NOTHING if value is None else f"{value:,.4g}{change}")
            before = value
        yield name, cells


def _machine(shown: Sequence[Kept]) -> Iterable[tuple[str, list[str]]]:
    yield "day", [str(each.machine.get("date", _NOTHING))[:10] for each in shown]
    yield "Python", [str(each.machine.get("python", _NOTHING)) for each in shown]
    yield "processors", [str(each.machine.get("cpus", _NOTHING)) for each in shown]
    yield "load before", [_load(each) for each in shown]
    for title, name, unit in _SPEEDS:
        found = [each.machine.get(name, {}).get("trio_dask") for each in shown]
        yield title, [_range(each, unit) for each in found]


def _range(speeds: Sequence[float] | None, unit: float) -> str:
    return f"{min(speeds) / unit:,.4g} to {max(speeds) / unit:,.4g}" if speeds else _NOTHING


def _load(one: Kept) -> str:
    load = one.machine.get("load")
    return f"{load[-1]:.1f}" if load else _NOTHING


def _timed(shown: Sequence[Kept], case: str) -> Iterable[tuple[str, list[str]]]:
    found = [each.medians.get("trio_dask", {}).get(case, {}) for each in shown]
    for name in dict.fromkeys(name for figures in found for name in figures):
        yield name, [f"{each[name]:,.3g}" if name in each else _NOTHING for each in found]


def _table(heads: Sequence[str], rows: Iterable[tuple[str, list[str]]]) -> str:
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    lines += [f"| {name} | " + " | ".join(cells) + " |" for name, cells in rows]
    return "\n".join(lines)
