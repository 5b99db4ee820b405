"""What runners print: passed on in whole lines, whoever reads it, however slowly, or not at all."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
import trio

from trio_dask.worker import output as module
from trio_dask.worker.output import BACKLOG_MAX, Output, Spout, open_outputs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(eq=False)
class Bench:
    """A spout at work, the reading end of what it writes to, and processes that print there."""

    nursery: trio.Nursery
    reader: int
    spout: Spout
    outputs: list[Output] = field(default_factory=list)

    def process(self) -> Output:
        """One that prints: the test writes to its ends."""
        output = Output()
        output.pass_on(self.nursery, self.spout, self.spout)
        self.outputs.append(output)
        return output

    async def read(self, until: bytes) -> bytes:
        """What comes out, up to `until`."""
        got = b""
        while not got.endswith(until):
            await trio.lowlevel.wait_readable(self.reader)
            got += os.read(self.reader, 1 << 16)
        return got


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    """All that is needed."""
    with ExitStack() as stack:
        reader, writer = os.pipe()
        stack.callback(os.close, writer)
        spout = Spout(writer)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(spout.run)
            made = Bench(nursery, reader, spout)
            yield made
            for output in made.outputs:
                output.close()
            os.close(reader)  # whoever is still writing ends
            nursery.cancel_scope.cancel()


async def test_lines_of_several_do_not_mix() -> None:
    """Each prints in pieces that end anywhere: every line comes out whole."""
    async with bench() as table:
        processes = [table.process() for _ in range(3)]
        text = [b"".join(b"%d says %d\n" % (who, n) for n in range(500)) for who in range(3)]
        for at in range(0, len(text[0]), 7):
            for process, said in zip(processes, text, strict=True):
                os.write(process.ends[0], said[at : at + 7])
            await trio.lowlevel.checkpoint()
        for process in processes:
            process.close()
        table.spout.write(b"over\n")
        got = await table.read(b"over\n")
    assert sorted(got.splitlines(keepends=True)) == sorted(
        [*b"".join(text).splitlines(keepends=True), b"over\n"]
    )


async def test_what_does_not_end_is_seen_too() -> None:
    """A prompt, a bar: without the end of a line it comes a moment later."""
    async with bench() as table:
        process = table.process()
        os.write(process.ends[0], b"50 %")
        assert await table.read(b"%") == b"50 %"
        assert process.last_lines() == ["50 %"]
        os.write(process.ends[1], b"\r100 %\n\xff\x00\n")
        assert await table.read(b"\x00\n") == b"\r100 %\n\xff\x00\n"
        assert process.last_lines() == ["100 %", "··", "50 %"]


async def test_its_last_words_are_read_after_its_end() -> None:
    """Also if a child of it has the pipe and goes on writing; nothing waits for that."""
    async with bench() as table:
        process = table.process()
        os.write(process.ends[1], b"Fatal Python error: Segmentation fault\n")
        assert process.last_lines() == ["Fatal Python error: Segmentation fault"]
        kept = os.dup(process.ends[0])
        process.started()
        os.write(kept, b"a child\n")
        process.close()
        process.close()
        assert process.last_lines() == ["Fatal Python error: Segmentation fault", "a child"]
        assert await table.read(b"child\n") != b""
        os.close(kept)


async def test_a_slow_reader_slows_down_who_prints() -> None:
    """Nothing is lost, and no more than the backlog waits here."""
    async with bench() as table:
        process = table.process()
        total = 3 * BACKLOG_MAX // 10
        writer = threading.Thread(target=_print, args=(process.ends[0], total))
        writer.start()
        got = b""
        while not got.endswith(b"the end!\n"):
            await trio.lowlevel.checkpoint()
            assert table.spout._nbytes <= BACKLOG_MAX + (2 << 16)
            await trio.lowlevel.wait_readable(table.reader)
            got += os.read(table.reader, 1 << 12)
        assert got == b"012345678\n" * total + b"the end!\n"
        writer.join()


def _print(fd: int, lines: int) -> None:
    for _ in range(lines // 100):
        os.write(fd, b"012345678\n" * 100)
    os.write(fd, b"012345678\n" * (lines % 100))
    os.write(fd, b"the end!\n")


async def test_nobody_reads_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that stands still does not hold who prints for ever: the rest is left out."""
    monkeypatch.setattr(module, "STUCK_S", 0.05)
    async with bench() as table:
        process = table.process()
        total = 3 * BACKLOG_MAX // 10
        writer = threading.Thread(target=_print, args=(process.ends[0], total))
        writer.start()
        await trio.to_thread.run_sync(writer.join)
        assert process.last_lines()[-1] == "the end!"
        assert table.spout._nbytes <= BACKLOG_MAX + (2 << 16)
        got = await table.read(b"nobody read them]\n")
        *lines, last = got.splitlines()
        assert set(lines) == {b"012345678"}
        left_out = int(last.split()[0][1:])
        assert len(lines) + left_out == total + 1
        os.write(process.ends[0], b"again\n")
        assert await table.read(b"again\n") == b"again\n"


async def test_a_reader_that_is_gone() -> None:
    """Who prints notices nothing, and its last lines are known."""
    reader, writer = os.pipe()
    os.close(reader)
    spout = Spout(writer)
    output = Output()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(spout.run)
        output.pass_on(nursery, spout, Spout(None))
        for _ in range(5):
            os.write(output.ends[0], b"to nobody\n" * 1000)
            os.write(output.ends[1], b"to a stream that is closed\n")
            await spout.flush()
            await trio.testing.wait_all_tasks_blocked()
        assert len(output.last_lines()) == 50
        output.close()
        nursery.cancel_scope.cancel()
    os.close(writer)


async def test_a_stream_that_somebody_made_not_blocking() -> None:
    """Whoever shares our terminal may have done so: what is written waits, and all of it comes."""
    async with bench() as table:
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        spout = Spout(writer)
        table.nursery.start_soon(spout.run)
        spout.write(b"x" * 200_000 + b"\n")
        got = b""
        while not got.endswith(b"\n"):
            await trio.lowlevel.wait_readable(reader)
            got += os.read(reader, 1 << 14)
        assert got == b"x" * 200_000 + b"\n"
        await spout.flush()
        os.close(reader)
        os.close(writer)


async def test_who_is_cancelled_at_the_start_ends() -> None:
    """What runners print is passed on with a shield: not before there is somebody to end it."""
    with trio.CancelScope() as scope:
        scope.cancel()
        async with open_outputs():
            pytest.fail("it goes on although it was cancelled")
    assert scope.cancelled_caught
