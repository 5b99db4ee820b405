"""Whether what one process writes is seen where another one writes."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from trio_dask.config import STDERR, STDOUT, errors_are_ours, is_seen, places, to_tell
from trio_dask.config.outputs import descriptor_of, place_of

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


class Stream(io.StringIO):
    """One that says it has a descriptor."""

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd

    def fileno(self) -> int:
        """What it says."""
        return self._fd


class OfNotebook(Stream):
    """One of a kernel that shows what is written to descriptors."""


OfNotebook.__module__ = "ipykernel.iostream"


def test_a_place_is_what_is_behind_a_descriptor() -> None:
    """Whoever has it, and by whatever number; what is closed is none."""
    ours, theirs = os.pipe()
    copy, null = os.dup(theirs), os.open(os.devnull, os.O_RDONLY)
    try:
        assert place_of(theirs) == place_of(copy) != place_of(null)
    finally:
        for fd in (ours, theirs, copy, null):
            os.close(fd)
    assert place_of(copy) == place_of(None) == ""


def test_what_a_stream_shows() -> None:
    """Its descriptor; of a notebook's the one it is for, if it shows any; of others nothing."""
    assert descriptor_of(Stream(7)) == 7
    assert descriptor_of(OfNotebook(7), STDERR) == STDERR
    assert descriptor_of(io.StringIO()) is None
    assert descriptor_of(None) is None


def test_what_was_written_to_the_same_file_is_seen(tmp_path: Path) -> None:
    """By processes of their own, that were told where their output ends, and by threads of ours."""
    with (tmp_path / "one").open("w") as one, (tmp_path / "two").open("w") as two:
        with (tmp_path / "one").open("a") as again:
            told = [place_of(one.fileno()), place_of(two.fileno())]
            assert places(STDOUT, sys.stdout, told) == told[:1]
            assert is_seen(told[:1], STDOUT, again)
            assert not is_seen(told[1:], STDOUT, again)
        assert is_seen(places(STDOUT, one, ()), STDOUT, two)  # we have written to our own stream
        elsewhere = [place for place in places(STDOUT, one, ()) if place == told[0]]
        assert is_seen(elsewhere, STDOUT, one)
        assert not is_seen(elsewhere, STDOUT, two)


def test_nothing_is_known() -> None:
    """Of an older sender, or of streams that are closed."""
    assert not is_seen(None, STDOUT, sys.__stdout__)
    assert not is_seen(["", "-"], STDOUT, io.StringIO())


def test_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of both streams, as they were when the process has started."""
    monkeypatch.setattr(sys, "__stderr__", None)
    told = to_tell().split()
    assert told == [place_of(descriptor_of(sys.__stdout__)) or "-", "-"]
    assert to_tell(errors_are_ours()).split() == [told[0], errors_are_ours().split()[1]]
    assert is_seen(to_tell(errors_are_ours()).split()[1:], STDERR, None)
