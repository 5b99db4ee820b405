"""The tie between a server and the process that started it."""

from __future__ import annotations

import logging
import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from trio_dask.cli.tie import Tie
from trio_dask.messages.tie import Lines, read_scale, scale_order, scheduler_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Crew:
    """Remembers how many were wanted."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def scale(self, count: int) -> None:
        """Remember."""
        self.sizes.append(count)


@pytest.fixture
def parent(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The other end of standard input."""
    ours, theirs = socket.socketpair()
    with ours, theirs, theirs.makefile("r") as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield ours


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The end to write to of a standard input that is a pipe."""
    read, write = os.pipe()
    with os.fdopen(read) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield write


async def held(tie: Tie, act: Callable[[], None]) -> None:
    """Hold the tie, act, and wait until it is cut."""
    ended = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(tie.hold, ended.set)
        await trio.testing.wait_all_tasks_blocked()
        act()
        await ended.wait()


async def test_orders_are_obeyed_and_garbage_is_not(
    parent: socket.socket, caplog: pytest.LogCaptureFixture
) -> None:
    """Also those from before there was anybody to obey: the last of them."""
    tie, crew = Tie(), Crew()

    def act() -> None:
        parent.sendall(b"scale 7\nscale -1\nsca")
        parent.sendall(b"le 2\nhello\n\xff\n")
        parent.sendall(f"{scheduler_order('tcp://127.0.0.1:1')}\nscale 9".encode())
        parent.shutdown(socket.SHUT_WR)

    with caplog.at_level(logging.WARNING):
        await held(tie, act)
    tie.started(crew)
    assert crew.sizes == [2]
    assert await tie.scheduler() == "tcp://127.0.0.1:1"
    assert [each.args for each in caplog.records] == [("scale -1",), ("hello",), ("\ufffd",)]


async def test_news_reach_a_parent_of_ours(parent: socket.socket) -> None:
    """Line by line; when it is gone nobody is told, and nothing breaks."""
    tie = Tie()
    tie.tell_change("a b", "tcp://127.0.0.1:1")
    tie.tell_change("a b", None)
    assert parent.recv(1000) == b"joined tcp://127.0.0.1:1 a b\nleft a b\n"
    parent.close()
    tie.tell("nobody hears this")


async def test_a_pipe_is_read_to_its_end_and_told_nothing(pipe: int) -> None:
    """Others may start a server, too."""
    tie = Tie()
    tie.tell("to nobody")
    await held(tie, lambda: os.close(pipe))


def test_lines_however_they_are_split() -> None:
    """Endless ones are dropped; absurd numbers are no orders of that size."""
    lines = Lines()
    assert lines.feed(b"x" * 20_000) == []
    assert lines.feed(b"\nscale 1\r\n") == ["", "scale 1\r"]
    assert read_scale("scale 1\r") == 1
    assert read_scale(scale_order(12)) == 12
    assert read_scale("scale ٣") is None
    assert read_scale("scale 1000000") is None
