"""What a connection has kept when it has ended, however that came: nothing, at once.

Values in files cost descriptors and disk for as long as anybody refers to them, so these tests
do without the collector of garbage.
"""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import weakref
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
import trio

from trio_dask.comm import Connection, DescriptorStream, Hello
from trio_dask.comm.framing import frame
from trio_dask.errors import TrioDaskError
from trio_dask.messages import encode
from trio_dask.messages.session import Goodbye
from trio_dask.messages.tasks import Free
from trio_dask.messages.values import Give
from trio_dask.store import Segment, rights, write_file

if TYPE_CHECKING:
    from trio_dask.messages import Message

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory files are Linux's")

MIB = 1 << 20
PEER = Hello("runner", "", "")
#: Makes a value.
Make: TypeAlias = Callable[[], Segment]
#: Brings about the end of a connection, of which the other end is given.
End: TypeAlias = Callable[[Connection, socket.socket, Make], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def descriptors() -> set[str]:
    """Those of this process, and what is behind them."""
    found = set()
    for each in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that looks
            found.add(f"{each.name} {each.readlink()}")
    return found


def say(far: socket.socket, give: Message, nbytes: int | None = None) -> None:
    """Say that on a plain socket, or the first bytes of it."""
    lead, *others = frame(*encode([give]), carries=True)
    far.sendmsg([lead], [rights(getattr(lead, "handles", []))])
    for each in others:
        far.sendall(each if nbytes is None else memoryview(each)[:nbytes])


async def run(
    connection: Connection, on_messages: Callable[[list[Message]], None] = lambda _: None
) -> None:
    """Until its end, whatever that is."""
    try:
        await connection.run(on_messages)
    except (TrioDaskError, ZeroDivisionError):
        return


async def nobody_is_there(connection: Connection, far: socket.socket, make: Make) -> None:
    """It is said to a process that has just been killed."""
    far.close()
    connection.send(Give([1], [make()]))
    await run(connection)


async def it_dies_meanwhile(connection: Connection, far: socket.socket, make: Make) -> None:
    """It reads nothing, and is killed while more is written."""
    connection.send(Give([1], [bytes(8 * MIB)]), Give([1], [make()]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, connection)
        await trio.testing.wait_all_tasks_blocked()
        connection.send(Free([1]))
        far.close()


async def it_is_cut(connection: Connection, far: socket.socket, make: Make) -> None:
    """It reads nothing, and is given up."""
    connection.send(Give([1], [bytes(8 * MIB)]), Give([1], [make()]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, connection)
        await trio.testing.wait_all_tasks_blocked()
        connection.cut("enough")


async def we_are_cancelled(connection: Connection, far: socket.socket, make: Make) -> None:
    """Who runs the connection ends."""
    connection.send(Give([1], [bytes(8 * MIB)]), Give([1], [make()]))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(run, connection)
        await trio.testing.wait_all_tasks_blocked()
        nursery.cancel_scope.cancel()


async def it_makes_no_sense(connection: Connection, far: socket.socket, make: Make) -> None:
    """A value comes with a message that is refused."""

    def refuse(messages: list[Message]) -> None:
        for message in messages:
            assert isinstance(message, Give)
            raise ZeroDivisionError

    say(far, Give([1], [make()]))
    await run(connection, refuse)


async def the_rest_is_missing(connection: Connection, far: socket.socket, make: Make) -> None:
    """A value comes with a message whose sender dies before the end of it."""
    say(far, Give([1, 2], [make(), bytes(MIB)]), 100)
    far.close()
    await run(connection)


async def what_follows_is_garbage(connection: Connection, far: socket.socket, make: Make) -> None:
    """A value comes in one piece with what is no frame."""
    value = make()
    lead, *_ = frame(*encode([Give([1], [value])]), carries=True)
    far.sendmsg([bytes(lead) + b"\xff" * 64], [rights([value])])
    far.close()
    del value, lead
    await run(connection)


async def it_is_no_message(connection: Connection, far: socket.socket, make: Make) -> None:
    """A value comes with a header that says nothing."""
    value = make()
    lead, *_ = frame(b"\xc1", [value], carries=True)
    far.sendmsg([bytes(lead)], [rights([value])])
    far.close()
    del value, lead
    await run(connection)


async def it_comes_too_late(connection: Connection, far: socket.socket, make: Make) -> None:
    """We are leaving when it comes; it is not looked at."""
    connection.close("we go")
    say(far, Give([1], [make()]))
    far.close()
    await run(connection)


async def it_comes_after_a_goodbye(connection: Connection, far: socket.socket, make: Make) -> None:
    """A peer that has said goodbye says more."""
    say(far, Goodbye("that is all"))
    say(far, Give([1], [make()]))
    far.close()
    await run(connection)


@pytest.mark.parametrize("end", [
    nobody_is_there, it_dies_meanwhile, it_is_cut, we_are_cancelled, it_makes_no_sense,
    the_rest_is_missing, what_follows_is_garbage, it_is_no_message, it_comes_too_late,
    it_comes_after_a_goodbye,
])  # fmt: skip
async def test_nothing_is_kept(tmp_path: Path, end: End) -> None:
    """Neither what was to be said, nor what had come, by whoever keeps the connection."""
    near, far = socket.socketpair()
    before = descriptors()
    made: list[weakref.ref[Segment]] = []

    def make() -> Segment:
        value = write_file(str(tmp_path), b"x" * 100)
        made.append(weakref.ref(value))
        return value

    connection = Connection(DescriptorStream(near), PEER, remote_address="process 1")
    with far:
        await end(connection, far, make)
    assert [each() for each in made] == [None]
    assert descriptors() < before  # the sockets are closed
    with pytest.raises(RuntimeError, match="has run already"):
        await connection.run(lambda _: None)
