"""The last lines of a process's output: bounded, readable, harmless."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given, strategies as st

from trio_dask.worker.core import Lines, Tail
from trio_dask.worker.core.tail import ALL_SHOWN_MAX, LINES_MAX, PIECE_MAX, SHOWN_MAX, shown


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"plain", "plain"),
        ("déjà vu ✓".encode(), "déjà vu ✓"),
        (b"a\tb", "a    b"),
        (b"windows\r", "windows"),
        (b" 10 %\r 20 %\r 30 %", " 30 %"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07text\x1b(B", "red text"),
        (b"\xff\xfe\x00bin\x07", "···bin·"),
        ("a\u202eb\u2028c\u200bd".encode(), "a·b·c·d"),
        (b"\x1b", ""),
        (b"x" * 1000, "x" * 100 + " … " + "x" * 97),
    ],
)
def test_a_line_as_it_is_shown(line: bytes, text: str) -> None:
    """Nothing that moves a cursor, changes a colour or an order of letters, or is long."""
    assert shown(line) == text
    assert len(shown(line)) <= SHOWN_MAX


def test_lines_are_passed_on_whole() -> None:
    """What has no end yet waits, until it is asked for; the tail has it as one line."""
    tail = Tail()
    lines = Lines(tail)
    assert (lines.feed(b"one\ntw"), lines.waiting) == (b"one\n", True)
    assert (lines.feed(b"o"), lines.waiting) == (b"", True)
    assert (lines.flush(), lines.waiting) == (b"two", False)
    assert tail.shown(lines.begun) == ["one", "two"]
    assert lines.feed(b" and\nthree") == b" and\n"
    assert tail.shown(lines.begun) == ["one", "two and", "three"]


def test_what_never_ends_is_passed_on_in_pieces() -> None:
    """A process that writes no line at all costs no memory."""
    tail = Tail()
    lines = Lines(tail)
    passed = b"".join(lines.feed(bytes(5000)) for _ in range(1000))
    assert len(passed) > 5_000_000 - PIECE_MAX - 5000
    assert len(lines.begun) < PIECE_MAX + 5000
    [line] = tail.shown(lines.begun)
    assert len(line) <= SHOWN_MAX


def test_a_million_lines_take_no_room() -> None:
    """The last fifty stay, whatever came before."""
    tail = Tail()
    lines = Lines(tail)
    chunk = b"a line like many others\n" * 1000
    tracemalloc.start()
    try:
        for _ in range(1000):
            assert lines.feed(chunk) == chunk
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
    assert lines.feed(b"".join(b"%d\n" % n for n in range(30))) != b""
    last = tail.shown()
    assert len(last) == LINES_MAX
    assert last[-30:] == [str(n) for n in range(30)]
    assert set(last[:-30]) == {"a line like many others"}


def test_all_that_is_shown_is_bounded() -> None:
    """Fifty long lines are fewer; the last ones stay."""
    tail = Tail()
    Lines(tail).feed(b"".join(b"%03d" % n + b"x" * 500 + b"\n" for n in range(60)))
    last = tail.shown()
    assert sum(map(len, last)) <= ALL_SHOWN_MAX
    assert last[-1].startswith("059")
    assert len(last) >= ALL_SHOWN_MAX // SHOWN_MAX


@given(st.lists(st.binary(max_size=40)), st.booleans())
def test_nothing_is_lost_or_cut(pieces: list[bytes], flush: bool) -> None:
    """However it arrives, all of it is passed on, in order, in whole lines; the tail is its end."""
    tail = Tail()
    lines = Lines(tail)
    passed = []
    for piece in pieces:
        out = lines.feed(piece)
        assert out == b"" or out.endswith(b"\n")
        passed.append(out)
        if flush:
            passed.append(lines.flush())
    whole = b"".join(pieces)
    begun = lines.begun
    passed.append(lines.flush())
    assert b"".join(passed) == whole
    expected = whole.split(b"\n")
    if not expected[-1]:
        del expected[-1]
    assert tail.shown(begun) == [shown(line) for line in expected][-LINES_MAX:]
