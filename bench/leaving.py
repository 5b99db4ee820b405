"""What viewers cost by http and by https, and how long the end takes: ``python -m bench.leaving``.

The cluster is made up, the port is not. Viewers that are counted are in a process of their own; of
those that are there at the end some have stalled, some have never read, and a thousand were opened
and abandoned, half of them without a word.
"""

from __future__ import annotations

import argparse
import gc
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import trio

from bench.servers import ROOT
from tests.dashboard.busy import BusyCluster
from trio_dask.comm import Keys, Security, Tls, keys_from_token
from trio_dask.config import new_token
from trio_dask.dashboard import DashboardOptions, run_dashboard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

VIEWERS: Final = 100
_COUNTED_S: Final = 4.0
_EVENTS: Final = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
_FDS: Final = Path("/proc/self/fd")
_READER: Final = """
import select, socket, ssl, sys
port, count, https = map(int, sys.argv[1:])
context = ssl._create_unverified_context()
ready = select.poll()
kept = {}
for _ in range(count):
    each = socket.create_connection(("127.0.0.1", port))
    each = context.wrap_socket(each) if https else each
    each.sendall(b"GET /events HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    assert each.recv(1 << 16)
    each.setblocking(False)
    kept[each.fileno()] = each
    ready.register(each, select.POLLIN)
ready.register(sys.stdin, select.POLLIN)
print("ready", flush=True)
while True:
    for number, _ in ready.poll():
        if number == 0:
            sys.exit()
        try:
            while kept[number].recv(1 << 16):
                pass
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
"""


class Site:
    """A dashboard, and how it is reached."""

    def __init__(self, port: int, tls: Tls | None) -> None:
        self.port: Final = port
        self.tls: Final = tls

    async def viewer(self) -> trio.SSLStream[trio.SocketStream] | trio.SocketStream:
        """One that has asked for the stream, and read nothing."""
        plain = await trio.open_tcp_stream("127.0.0.1", self.port)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        stream = plain if self.tls is None else self._encrypted(plain, self.tls)
        await stream.send_all(_EVENTS)
        return stream

    def _encrypted(self, plain: trio.SocketStream, tls: Tls) -> trio.SSLStream[trio.SocketStream]:
        return trio.SSLStream(plain, tls.connecting("").context)


@asynccontextmanager
async def site(keys: Keys, *, workers: int) -> AsyncIterator[Site]:
    """Until the block ends."""
    busy = BusyCluster(workers, now=trio.current_time())
    busy.client()
    async with trio.open_nursery() as nursery:
        options = DashboardOptions(address="127.0.0.1:0", https=keys.tls is not None)
        shown = await nursery.start(run_dashboard, busy.view, keys, options)
        nursery.start_soon(work, busy)
        yield Site(shown.port, keys.tls)
        nursery.cancel_scope.cancel()


async def work(busy: BusyCluster) -> None:
    """Let time pass, not more than it takes to have something to say."""
    while True:
        if busy.view.totals()["queued"] < 60:
            busy.submit("clean", 60)
        busy.run(trio.current_time(), step=0.2)
        await trio.sleep(0.2)


async def used(keys: Keys, count: int) -> float:
    """Processor time in a second, in ms, with so many viewers."""
    async with site(keys, workers=20) as made:
        words = [
            sys.executable,
            "-c",
            _READER,
            str(made.port),
            str(count),
            str(int(keys.tls is not None)),
        ]
        reader = await trio.lowlevel.open_process(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
        )
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert await reader.stdout.receive_some(), "the viewers did not get in"
        before, began = time.thread_time(), time.perf_counter()
        await trio.sleep(_COUNTED_S)
        cost = (time.thread_time() - before) / (time.perf_counter() - began)
        await reader.stdin.aclose()
        await reader.wait()
        await reader.stdout.aclose()
    return 1000 * cost


async def end(keys: Keys, count: int, *, leave: bool) -> float:
    """How long the end takes, in seconds, with so many that never read; or that have left, every other."""
    kept: list[trio.abc.AsyncResource] = []
    async with site(keys, workers=200) as made:
        for number in range(count):
            stream = await made.viewer()
            if leave and number % 2:
                await trio.aclose_forcefully(stream)
            else:
                kept.append(stream)
        await trio.sleep(1.5)  # so much is said to those that do not read it
        began = time.perf_counter()
    took = time.perf_counter() - began
    for each in kept:
        await trio.aclose_forcefully(each)
    return took


async def left(keys: Keys) -> tuple[int, int]:
    """Descriptors and tasks that a thousand leave behind."""
    await end(keys, 1, leave=False)
    gc.collect()
    before = len(list(_FDS.iterdir())), trio.lowlevel.current_statistics().tasks_living
    await end(keys, 1000, leave=True)
    gc.collect()
    after = len(list(_FDS.iterdir())), trio.lowlevel.current_statistics().tasks_living
    return after[0] - before[0], after[1] - before[1]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.leaving", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    token = new_token()
    ways = {
        "http": keys_from_token(token),
        "https": keys_from_token(token, tls=Tls(Security.temporary())),
    }
    costs = {way: list[float]() for way in ways}
    for _ in range(options.rounds):
        for way, keys in ways.items():
            alone, crowd = trio.run(used, keys, 1), trio.run(used, keys, VIEWERS)
            costs[way].append((crowd - alone) / (VIEWERS - 1))
    for way, each in costs.items():
        print(
            f"{way:5s} a viewer, ms of a processor a second: {median(each):.3f}, least {min(each):.3f}"
        )
    for way, keys in ways.items():
        for count, leave, name in (
            (0, False, "nobody"),
            (20, False, "20 that never read"),
            (1000, True, "1,000 abandoned"),
        ):
            took = [trio.run(lambda: end(keys, count, leave=leave)) for _ in range(options.rounds)]  # noqa: B023 - called at once
            print(f"{way:5s} the end with {name}: {median(took):.3f} s, most {max(took):.3f}")
        print(f"{way:5s} descriptors and tasks left by a thousand: {trio.run(left, keys)}")


if __name__ == "__main__":
    main()
