"""What this machine can do at all with a large value: ``python -m bench.raw``. Best of several, in GB/s.

The last two have a process at each end: a loop of `sendfile` and one of `recv`, and our connection,
without compression, over the same kind of socket. They take turns, so that others who use the machine
disturb both: of each the best and the median, and the processor time of both ends for a GB.
"""

from __future__ import annotations

import mmap
import multiprocessing
import os
import socket
import time
from functools import partial
from statistics import median
from typing import TYPE_CHECKING, Any, Final, cast

import psutil
import trio

from trio_dask.comm import connect, keys_from_token, open_listener, serve
from trio_dask.messages.sealing import Rewrite
from trio_dask.messages.session import CLIENT, WORKER
from trio_dask.messages.values import FOUND, Fetch, Values
from trio_dask.runner.sealing import Sealer
from trio_dask.store import Segment, new_memory
from trio_dask.worker.rooms import Rooms

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection as Pipe

    from trio_dask.comm import Connection
    from trio_dask.messages import Message

NBYTES: Final = 256 << 20
REPEATS: Final = 8
ROUNDS: Final = 15
_PART: Final = 1 << 20
_KEYS: Final = keys_from_token("0123456789abcdef" * 4)


def rate(seconds: list[float]) -> float:
    """Of the quickest, in GB/s."""
    return NBYTES / min(seconds) / 1e9


def timed(call: Callable[[], object]) -> float:
    """How long it takes, in seconds."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def copied(source: memoryview, target: memoryview) -> float:
    """A copy from one place to another."""
    return timed(lambda: target.__setitem__(slice(None), source))


def copied_anew(source: memoryview) -> float:
    """A copy to where nothing was before."""
    with mmap.mmap(-1, NBYTES) as fresh, memoryview(fresh) as target:
        return copied(source, target)


class _Unheard:
    """Where a runner's news would go; nobody listens here."""

    def __init__(self) -> None:
        self.sealed: list[tuple[int, int, int, Segment]] = []

    def post(self, message: Message) -> None:
        """A value is read no more."""


def sealed() -> list[float]:
    """A result of a task, put where it outlives its process: into memory that is in use already."""
    outbox = _Unheard()
    limits = {"sealed_bytes_min": 1 << 20, "pool_bytes_max": 2 * NBYTES, "sealed_max": 4}
    sealer = Sealer(limits, cast("Any", outbox))
    result, seconds = bytearray(NBYTES), []
    for number in range(REPEATS + 1):
        seconds.append(timed(partial(sealer.seal, number, number, result)))
        _, _, segment, _ = outbox.sealed.pop()
        sealer.rewrite(Rewrite([segment], [1]))
    sealer.close()
    return seconds[1:]


def value() -> int:
    """A memory file."""
    fd = os.memfd_create("value")
    os.ftruncate(fd, NBYTES)
    os.pwrite(fd, bytes(NBYTES), 0)
    return fd


def send(pipe: Pipe) -> None:
    """A process that sends what is in a memory file to all who come."""
    fd = value()
    with socket.create_server(("127.0.0.1", 0)) as server:
        pipe.send(server.getsockname())
        while True:
            other, _ = server.accept()
            with other:
                at = 0
                while at < NBYTES:
                    at += os.sendfile(other.fileno(), fd, at, min(_PART, NBYTES - at))


def receive(address: tuple[str, int], into: memoryview) -> float:
    """It comes from that process."""

    def take(sock: socket.socket) -> None:
        at = 0
        while at < NBYTES:
            with into[at : at + _PART] as part:
                at += sock.recv_into(part)

    with socket.create_connection(address) as sock:
        return timed(lambda: take(sock))


def answer(pipe: Pipe) -> None:
    """A process that answers questions for the same as a worker does."""
    segment = Segment(value(), NBYTES)

    async def handler(connection: Connection) -> None:
        def say(messages: list[Message]) -> None:
            for _ in messages:
                connection.send(Values(1, [1], [FOUND], [], [segment], last=True))

        await connection.run(say)

    async def run() -> None:
        listener = await open_listener("tcp://127.0.0.1:0")
        pipe.send(listener.address)
        await serve(listener, keys=_KEYS, role=WORKER, handler=handler)

    trio.run(run)


async def ask(address: str, rooms: Rooms) -> float:
    """It comes through our connection, to where a worker has it."""
    connection = await connect(address, keys=_KEYS, role=CLIENT, expect=WORKER, near=False)
    connection.make_room_by(rooms.make)
    seconds: list[float] = []

    def heard(messages: list[Message]) -> None:
        seconds.append(time.perf_counter() - began)
        del messages[:]
        connection.close("enough")

    began = time.perf_counter()
    connection.send(Fetch(1, [1]))
    await connection.run(heard)
    return seconds[0]


def beside(target: Callable[[Any], None]) -> tuple[multiprocessing.process.BaseProcess, Any]:
    """A process of its own, and what it says first."""
    spawn = multiprocessing.get_context("spawn")
    here, there = spawn.Pipe()
    process = spawn.Process(target=target, args=(there,), daemon=True)
    process.start()
    return process, here.recv()


class Way:
    """One way to move it, measured several times."""

    def __init__(self, target: Callable[[Any], None], move: Callable[[Any], float]) -> None:
        self.process, self._address = beside(target)
        self._move: Final = move
        self._pids: Final = os.getpid(), self.process.pid
        self.seconds: list[float] = []
        self.cpu_seconds: list[float] = []

    def go(self) -> None:
        """Once more."""
        before = self._used()
        self.seconds.append(self._move(self._address))
        self.cpu_seconds.append(self._used() - before)

    def _used(self) -> float:
        """Processor time of both ends."""
        return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in self._pids)

    def __str__(self) -> str:
        cpu = 1e9 * median(self.cpu_seconds) / NBYTES
        return (
            f"{rate(self.seconds):.2f}\t{NBYTES / median(self.seconds) / 1e9:.2f}\t{cpu:.2f} s/GB"
        )


def main() -> None:
    """Measure, and print."""
    source, target = memoryview(bytearray(NBYTES)), memoryview(bytearray(NBYTES))
    for name, call in {
        "copied into warm memory": partial(copied, source, target),
        "copied into fresh memory": partial(copied_anew, source),
    }.items():
        print(f"{name}\t{rate([call() for _ in range(REPEATS)]):.2f}", flush=True)
    print(f"sealed in warm memory\t{rate(sealed()):.2f}", flush=True)
    rooms = Rooms(idle_bytes_max=2 * NBYTES, count_max=4)
    # Both into memory of one kind: where no page begins, the same takes twice as long.
    bare = Way(send, partial(receive, into=new_memory(NBYTES)))
    ours = Way(answer, lambda address: trio.run(ask, address, rooms))
    for each in (bare, ours):  # connections are made, and memory is found
        each.go()
        each.seconds.clear()
        each.cpu_seconds.clear()
    for _ in range(ROUNDS):
        bare.go()
        ours.go()
    print(f"sendfile to recv, TCP\t{bare}")
    share = median(theirs / mine for theirs, mine in zip(bare.seconds, ours.seconds, strict=True))
    print(f"our connection, TCP\t{ours}\t{100 * share:.0f} %, the median of all turns")
    for each in (bare, ours):
        each.process.kill()


if __name__ == "__main__":
    main()
