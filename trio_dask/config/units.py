"""Durations and sizes as people write them: ``"10s"``, ``"1h 30m"``, ``"64MiB"``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from trio_dask.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SECONDS: Final[dict[str, float]] = {
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("", "s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}

_BYTES: Final[dict[str, int]] = {
    "": 1,
    "b": 1,
    **{f"{prefix}b": 1000**n for n, prefix in enumerate("kmgtp", 1)},
    **{f"{prefix}ib": 1024**n for n, prefix in enumerate("kmgtp", 1)},
    **{prefix: 1000**n for n, prefix in enumerate("kmgtp", 1)},
    **{f"{prefix}i": 1024**n for n, prefix in enumerate("kmgtp", 1)},
}

#: More than anybody has of anything; every float up to here is far from infinite in any unit.
_NUMBER_MAX: Final = 1e30

_PART: Final = re.compile(r"\s*([0-9]+(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?|\.[0-9]+)\s*([a-zµ]*)\s*,?")


def _parts(text: str) -> list[tuple[float, str]] | None:
    """The numbers of `text`, each with its unit, or None if it is anything else."""
    out, at = [], 0
    text = text.strip()
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            return None
        out.append((float(part[1]), part[2]))
        at = part.end()
    return out or None


def _sum(parts: list[tuple[float, str]] | None, units: Mapping[str, float]) -> float | None:
    """All of it in the smallest unit; None if it is not that, or more than anybody has."""
    if parts is None or any(unit not in units for _, unit in parts):
        return None
    total = sum(number * units[unit] for number, unit in parts)
    return total if total <= _NUMBER_MAX else None


def _plain_number(raw: object) -> float | None:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        return None
    return float(raw) if 0 <= raw <= _NUMBER_MAX else None


def parse_seconds(raw: object) -> float:
    """A duration in seconds, from a number of seconds or from text with units.

    >>> parse_seconds("1h 30m")
    5400.0
    >>> parse_seconds("250 ms")
    0.25

    Raises:
        ConfigError: it is neither.
    """
    number = _plain_number(raw)
    if number is not None:
        return number
    parts = _parts(raw.lower()) if isinstance(raw, str) else None
    total = _sum(parts, _SECONDS)
    if total is None:
        msg = f'{raw!r} is no duration; write seconds, or a unit as in "500ms", "10s", "5m", "1h"'
        raise ConfigError(msg)
    return total


def parse_bytes(raw: object) -> int:
    """A size in bytes, from a number of bytes or from text with a unit.

    >>> parse_bytes("64MiB")
    67108864
    >>> parse_bytes("1.5 GB")
    1500000000

    Raises:
        ConfigError: it is neither.
    """
    number = _plain_number(raw)
    if number is not None:
        return int(number)
    parts = _parts(raw.lower()) if isinstance(raw, str) else None
    total = _sum(parts, _BYTES) if parts is not None and len(parts) == 1 else None
    if total is None:
        msg = f'{raw!r} is no size; write bytes, or a unit as in "500kB", "64MiB", "2GB"'
        raise ConfigError(msg)
    return int(total)


def format_bytes(count: float) -> str:
    """A size for people.

    >>> format_bytes(67108864)
    '64.00 MiB'
    """
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            break
        count /= 1024
    return f"{count:.0f} B" if unit == "B" else f"{count:.2f} {unit}"
