"""What is kept of what a task says: the last lines, whole, in little memory."""

from __future__ import annotations

import pytest

from trio_dask.errors import RemoteProtocolError
from trio_dask.messages.inquiring import packed
from trio_dask.messages.speech import (
    LINE_MAX,
    LINES_MAX,
    STDERR,
    STDOUT,
    LastSaid,
    LogLine,
    Voice,
    last_said,
)


def said(*texts: str) -> Voice:
    """Somebody has said this, one after the other."""
    voice = Voice()
    for at, text in enumerate(texts):
        voice.add(STDOUT, float(at), text)
    return voice


@pytest.mark.parametrize(
    ("texts", "rows"),
    [
        ([""], []),
        (["\n"], ["\n"]),
        (["one\n", "two\n"], ["one\n", "two\n"]),
        (["o", "n", "e", "\n", "t"], ["one\n", "t"]),
        (["a\nb\nc"], ["a\n", "b\n", "c"]),
        (["a\r\nb\r\n"], ["a\n", "b\n"]),
        (["10 %", "\r20 %", "\r30 %\n"], ["30 %\n"]),
        (["10 %\r", "20 %\r"], ["20 %\r"]),
        (["10 %\r", "20 %\r\n"], ["20 %\n"]),
        (["\r"], ["\r"]),
    ],
)
def test_lines_are_whole(texts: list[str], rows: list[str]) -> None:
    """However they come, and of what is written over the last is kept."""
    voice = said(*texts)
    assert [text for *_, text in voice.rows()] == rows
    assert voice.missed == 0


def test_a_line_has_the_time_at_which_it_began() -> None:
    """Also one of several that come together, on another stream."""
    voice = said("a", "b\nc", "\n")
    voice.add(STDERR, 7.0, "x")
    voice.add(STDOUT, 8.0, "y")
    voice.add(STDERR, 9.0, "z\n")
    assert voice.rows() == [
        (STDOUT, 0.0, "ab\n"), (STDOUT, 1.0, "c\n"), (STDERR, 7.0, "xz\n"), (STDOUT, 8.0, "y"),
    ]  # fmt: skip


@pytest.mark.parametrize("more", [0, 1, 7, 10_000])
@pytest.mark.parametrize("piece", [1, 3, 1_000_000])
def test_the_last_lines_are_kept(more: int, piece: int) -> None:
    """And those before them are counted, whether they come one by one or at once."""
    lines = [f"{number}\n" for number in range(LINES_MAX + more)]
    voice = Voice()
    for at in range(0, len(lines), piece):
        voice.add(STDOUT, 0.0, "".join(lines[at : at + piece]))
    assert [text for *_, text in voice.rows()] == lines[more:]
    assert voice.missed == more


def test_long_lines_are_cut() -> None:
    """The beginning and the end of them are kept, also of one that never ends."""
    voice = said("a" * LINE_MAX, "b" * 10 * LINE_MAX, "c\n", "d" * 2 * LINE_MAX)
    (_, _, ended), (_, _, begun) = voice.rows()
    assert LINE_MAX - 10 < len(ended) <= LINE_MAX + 1
    assert ended.startswith("aaa")
    assert ended.endswith("bbbc\n")
    assert " … " in ended
    assert LINE_MAX - 10 < len(begun) <= LINE_MAX


def test_the_last_attempt_counts() -> None:
    """Of what several workers know."""
    line = LogLine(1.5, "stdout", "here")
    found = last_said({
        "a": LastSaid().packed(),
        "b": LastSaid(7, 3, (line,)).packed(),
        "c": LastSaid(6, 0, (line, line)).packed(),
    })  # fmt: skip
    assert found == LastSaid(7, 3, (line,), "b")
    assert last_said({}) == LastSaid()


@pytest.mark.parametrize(
    "blob",
    [
        b"x", packed({}), packed({"attempt": "1", "missed": 0, "lines": []}),
        packed({"attempt": 1, "missed": 0, "lines": [["stdout", 1.0]]}),
        packed({"attempt": 1, "missed": 0, "lines": [["stdout", float("nan"), "x"]]}),
        packed({"attempt": 1, "missed": 0, "lines": [["stdout", 1.0, b"x"]]}),
    ],
)  # fmt: skip
def test_what_no_worker_says(blob: bytes) -> None:
    """Is an error."""
    with pytest.raises(RemoteProtocolError):
        last_said({"a": blob})
