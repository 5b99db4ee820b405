"""The figures side by side: a table for people, JSON for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from bench.arithmetic import Figures, times_better
from bench.machine import facts
from bench.systems import OURS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.cases import Case
    from bench.rounds import Measured

Medians = dict[str, dict[str, Figures]]


def ratios(medians: Medians) -> dict[str, dict[str, Figures]]:
    """By system and case: how many times better each figure of ours is."""
    ours = medians.get(OURS, {})
    compared: dict[str, dict[str, Figures]] = {}
    for system, cases in medians.items():
        for case, figures in cases.items() if system != OURS else ():
            better = {
                name: times
                for name, value in figures.items()
                if name in ours.get(case, {})
                and (times := times_better(name, ours[case][name], value)) is not None
            }
            compared.setdefault(system, {})[case] = better
    return compared


def as_json(measured: Measured, counted: Figures, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, for later comparison."""
    medians = measured.medians()
    return {
        "machine": facts() | {name: dict(by) for name, by in measured.speeds.items()},
        "settings": dict(settings),
        "medians": medians,
        "ratios": ratios(medians),
        "rounds": measured.rounds,
        "counted": counted,
        "errors": measured.errors,
    }


def number(value: float) -> str:
    """Three figures are as many as mean something."""
    size = abs(value)
    if size >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.1f}" if size >= 10 else f"{value:.2f}" if size >= 0.1 else f"{value:.2g}"


def table(medians: Medians, cases: Iterable[Case]) -> Table:
    """A column for each system; beside a figure of others, how many times better ours is."""
    better = ratios(medians)
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("")
    for system in medians:
        shown.add_column(system, justify="right")
    for case in cases:
        names = dict.fromkeys(
            name for system in medians.values() for name in system.get(case.name, {})
        )
        if names:
            shown.add_row(f"[bold]{case.title}[/bold]")
        for name in names:
            cells = []
            for system in medians:
                value = medians[system].get(case.name, {}).get(name)
                times = better.get(system, {}).get(case.name, {}).get(name)
                cells.append(
                    ("" if value is None else number(value))
                    + ("" if times is None else f" ({number(times)} ×)")
                )
            shown.add_row(f"  {name}", *cells)
    return shown


def machine(measured: Measured) -> str:
    """How fast the machine was meanwhile, of which all that is timed is a part."""
    said = {
        name: f"{number(min(all_of))} to {number(max(all_of))}"
        for name, by in measured.speeds.items()
        if (all_of := [speed for speeds in by.values() for speed in speeds])
    }
    return "machine: " + ", ".join(f"{name} {value}" for name, value in said.items())


def counted_table(counted: Figures) -> Table:
    """What needs no clock."""
    shown = Table(box=None, header_style="bold", pad_edge=False)
    shown.add_column("counted for each no-op")
    shown.add_column("", justify="right")
    for name, value in sorted(counted.items()):
        shown.add_row(f"  {name}", number(value))
    return shown
