"""Durations and sizes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, strategies as st

from trio_dask.config import format_bytes, parse_bytes, parse_seconds
from trio_dask.errors import ConfigError


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        (3, 3.0),
        (0.25, 0.25),
        ("3", 3.0),
        ("10s", 10.0),
        ("10 seconds", 10.0),
        ("500ms", 0.5),
        ("1h", 3600.0),
        ("30 minutes", 1800.0),
        ("1h 30m", 5400.0),
        ("2 days", 172800.0),
        (".5 s", 0.5),
        ("1e-3s", 0.001),
    ],
)
def test_durations(raw: object, seconds: float) -> None:
    """Numbers are seconds, and text may have units."""
    assert parse_seconds(raw) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("raw", "count"),
    [
        (17, 17),
        ("17", 17),
        ("64MiB", 64 * 1024**2),
        ("64 mib", 64 * 1024**2),
        ("5GB", 5 * 1000**3),
        ("1.5 kB", 1500),
        ("2k", 2000),
        ("2Ki", 2048),
        (10e9, 10_000_000_000),
    ],
)
def test_sizes(raw: object, count: int) -> None:
    """Decimal and binary units, in any case."""
    assert parse_bytes(raw) == count


@pytest.mark.parametrize(
    "raw", ["", " ", "fast", "10 parsecs", "-1s", -1, float("nan"), float("inf"), None, True, [1]]
)
def test_what_is_neither_is_refused(raw: object) -> None:
    """Nonsense is an error that shows it."""
    with pytest.raises(ConfigError, match="is no duration"):
        parse_seconds(raw)
    with pytest.raises(ConfigError, match="is no size"):
        parse_bytes(raw)


@pytest.mark.parametrize("text", ["888178419700126PiB", "1e20 PB", "1e30 d", "1e30s 1e30s"])
def test_more_than_anybody_has_is_refused(text: str) -> None:
    """With its unit, too: what was accepted once is accepted when it is handed on."""
    for parse in (parse_seconds, parse_bytes):
        with pytest.raises(ConfigError, match="is no"):
            parse(text)


@given(st.text())
def test_any_text_is_a_number_or_an_error(text: str) -> None:
    """No text makes the parsers fail in another way."""
    for parse in (parse_seconds, parse_bytes):
        with contextlib.suppress(ConfigError):
            assert parse(text) >= 0


def test_sizes_for_people() -> None:
    """The largest unit that leaves a number above one."""
    assert [format_bytes(n) for n in (0, 1023, 2048, 3 * 1024**3, 1024**5)] == [
        "0 B",
        "1023 B",
        "2.00 KiB",
        "3.00 GiB",
        "1024.00 TiB",
    ]
