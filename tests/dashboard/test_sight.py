"""Colours are told apart with any kind of sight, or something else tells what they tell.

How colours look to whom is computed with the matrices of Machado, Oliveira and Fernandes (2009) for
the whole of a deficiency, and how different they are as the distance in Oklab: what is 0.02 apart
can just be told apart where it touches.
"""

from __future__ import annotations

import itertools
import re
from importlib.resources import files
from typing import Final

import pytest

from trio_dask.dashboard import report

Colour = tuple[float, float, float]
Matrix = tuple[Colour, Colour, Colour]

SIGHTS: Final[dict[str, Matrix]] = {
    "all": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip
_CONES: Final[Matrix] = (
    (0.4122214708, 0.5363325363, 0.0514459929), (0.2119034982, 0.6806995451, 0.1073969566),
    (0.0883024619, 0.2817188376, 0.6299787005),
)  # fmt: skip
_OKLAB: Final[Matrix] = (
    (0.2104542553, 0.7936177850, -0.0040720468), (1.9779984951, -2.4285922050, 0.4505937099),
    (0.0259040371, 0.7827717662, -0.8086757660),
)  # fmt: skip
#: Parts of a bar, which touch each other in any order.
PARTS: Final = ("done", "gone", "assigned", "ready", "waiting")
STATIC: Final = files("trio_dask.dashboard") / "static"
CSS: Final = (STATIC / "app.css").read_text(encoding="utf-8")
_DRAW: Final = (STATIC / "draw.js").read_text(encoding="utf-8")


def _palette(name: str) -> list[str]:
    found = re.search(rf"const {name} = \[(.*?)\]", _DRAW)
    assert found is not None
    return re.findall(r"#[0-9a-f]{6}", found[1])


def _properties() -> dict[str, dict[str, str]]:
    """Of the light theme, and of the dark one, which is in the file twice."""
    light, *darks = (
        dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root[^{]*\{([^}]*--paper[^}]*)\}", CSS)
    )
    assert len(darks) == 2
    assert darks[0] == darks[1]
    return {"light": light, "dark": darks[0]}


THEMES: Final = _properties()
SERIES: Final = {"light": _palette("LIGHT"), "dark": _palette("DARK")}
in_each = pytest.mark.parametrize("theme", THEMES)
for_each = pytest.mark.parametrize("sight", SIGHTS)


def _times(matrix: Matrix, colour: Colour) -> Colour:
    one, two, three = (sum(a * b for a, b in zip(row, colour, strict=True)) for row in matrix)
    return one, two, three


def linear(text: str) -> Colour:
    """Red, green and blue as amounts of light.

    >>> linear("#ffffff")
    (1.0, 1.0, 1.0)
    """
    shares = (int(text[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in shares
    )
    return red, green, blue


def seen(text: str, sight: str) -> Colour:
    """A colour as it looks, in Oklab."""
    red, green, blue = (min(1.0, max(0.0, e)) for e in _times(SIGHTS[sight], linear(text)))
    long, middle, short = (each ** (1 / 3) for each in _times(_CONES, (red, green, blue)))
    return _times(_OKLAB, (long, middle, short))


def apart(one: str, other: str, sight: str) -> float:
    """How different two colours look."""
    pairs = zip(seen(one, sight), seen(other, sight), strict=True)
    return float(sum((a - b) ** 2 for a, b in pairs) ** 0.5)


def contrast(one: str, other: str) -> float:
    """As the guidelines for accessible pages define it."""
    light, dark = sorted(
        (0.2126 * red + 0.7152 * green + 0.0722 * blue for red, green, blue in map(linear, (one, other))),
        reverse=True,
    )  # fmt: skip
    return (light + 0.05) / (dark + 0.05)


def test_the_measure_is_what_it_is_said_to_be() -> None:
    """Gray is gray for everybody; red and green are alike for some, blue and green for others."""
    for sight in SIGHTS:
        assert apart("#808080", "#000000", sight) == pytest.approx(0.6, abs=0.01)
    assert (
        apart("#aa6600", "#668800", "deuteranopia") < 0.06 < apart("#aa6600", "#668800", "all") / 2
    )
    assert apart("#00a0a0", "#00a0b8", "tritanopia") < apart("#00a0a0", "#00a0b8", "all")
    assert contrast("#ffffff", "#000000") == pytest.approx(21)


@in_each
@for_each
def test_parts_of_a_bar(theme: str, sight: str) -> None:
    """States that touch each other; those that failed are striped besides."""
    colours = THEMES[theme]
    for one, other in itertools.combinations(PARTS, 2):
        assert apart(colours[one], colours[other], sight) > 0.07, (one, other)
    for each in PARTS:
        assert apart(colours[each], colours["bad"], sight) > 0.1, each


@in_each
@for_each
def test_functions_in_the_task_stream(theme: str, sight: str) -> None:
    """Ten colours, the first six, which are met most often, further apart; none is that of errors."""
    for first, second in itertools.combinations(range(10), 2):
        least = 0.08 if second < 6 else 0.06
        assert apart(SERIES[theme][first], SERIES[theme][second], sight) > least, (first, second)
    for each in SERIES[theme]:
        assert apart(each, THEMES[theme]["bad"], sight) > 0.05, each


@in_each
def test_what_is_drawn_is_seen_and_what_is_written_on_it_is_read(theme: str) -> None:
    """Against the card that it is on, and the name of a function on its block."""
    for each in SERIES[theme]:
        assert contrast(each, THEMES[theme]["card"]) > 3, each
        assert contrast(each, THEMES[theme]["on-block"]) > 3, each


def test_what_is_wrong_is_told_by_more_than_a_colour() -> None:
    """By stripes, a shape or a word."""
    striped = re.search(r"\ni\.failed, ([^{]*)\{ background: repeating-linear-gradient", CSS)
    assert striped is not None
    assert {".failed > i", ".memory.full"} == {each.strip() for each in striped[1].split(",")}
    assert re.search(r"\.cell\.bad \{ background: repeating-linear-gradient", CSS)
    assert re.search(r"link\[data-state=lost\] i \{[^}]*border-radius: 2px", CSS)
    assert "this.hatch(" in (STATIC / "stream.js").read_text(encoding="utf-8")
    graph = (STATIC / "graph.js").read_text(encoding="utf-8")
    assert re.search(r'"failed" .*context\.rect\(', graph)


def test_a_report_has_the_same_colours() -> None:
    """In both themes."""
    assert {"light": list(report.LIGHT), "dark": list(report.DARK)} == SERIES
