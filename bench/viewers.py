"""What viewers of the dashboard cost: ``python -m bench.viewers``.

A map of no-ops without a dashboard, with one that nobody watches, and with some who read the stream
of events, in turns. What is said once for all of them is the scheduler's; what reads it is a process
of its own, whose time is no part of the scheduler's, but of the processors that all share.
"""

from __future__ import annotations

import argparse
import operator
import subprocess
import sys
from contextlib import ExitStack, contextmanager, nullcontext
from statistics import median
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psutil

from bench.servers import ROOT, cpu_seconds
from trio_dask import Client, LocalCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

#: -1: without a dashboard.
VIEWERS: Final = (-1, 0, 1, 10, 100)
_REST_S: Final = 2.0
_READER: Final = """
import selectors, socket, sys
port, count = map(int, sys.argv[1:])
ready = selectors.DefaultSelector()
for _ in range(count):
    each = socket.create_connection(("127.0.0.1", port))
    each.sendall(b"GET /events HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n")
    assert each.recv(1 << 16)
    ready.register(each, selectors.EVENT_READ)
ready.register(sys.stdin, selectors.EVENT_READ)
print("ready", flush=True)
while all(key.fileobj is not sys.stdin and key.fileobj.recv(1 << 16) for key, _ in ready.select()):
    pass
"""


@contextmanager
def watched(link: str, count: int) -> Iterator[None]:
    """So many viewers, until the block ends."""
    port = str(urlsplit(link).port)
    with subprocess.Popen(
        [sys.executable, "-c", _READER, port, str(count)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT,
    ) as reader:  # fmt: skip
        assert reader.stdin is not None
        assert reader.stdout is not None
        assert reader.stdout.readline(), "the viewers did not get in"
        yield
        reader.stdin.close()


def scheduler_pid() -> int:
    """The process of the scheduler: of those that we have begun, the one that it says it is."""
    found = [each.pid for each in psutil.Process().children() if "scheduler" in each.cmdline()]
    return max(found)


def measure(client: Client, pid: int, count: int, tasks: int) -> tuple[float, float, float]:
    """Tasks a second, the scheduler's processor time for each in µs, and its share at rest."""
    with watched(client.dashboard_link, count) if count > 0 else nullcontext():
        before, began = cpu_seconds(pid), perf_counter()
        client.gather(client.map(operator.neg, range(tasks)))
        took, used = perf_counter() - began, cpu_seconds(pid) - before
        client.flush()
        before, began = cpu_seconds(pid), perf_counter()
        Event().wait(_REST_S)
        rest = (cpu_seconds(pid) - before) / (perf_counter() - began)
    return tasks / took, 1e6 * used / tasks, 100 * rest


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.viewers", description=__doc__)
    parser.add_argument("--tasks", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    figures: dict[int, list[tuple[float, float, float]]] = {count: [] for count in VIEWERS}
    with ExitStack() as stack:
        clients = {}
        for address in (None, ":0"):
            cluster = LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=address)
            client = stack.enter_context(Client(stack.enter_context(cluster)))
            client.gather(client.map(operator.neg, range(options.tasks)))
            clients[address is None] = client, scheduler_pid()
        for turn in range(options.rounds):
            for count in VIEWERS[:: 1 - 2 * (turn % 2)]:
                client, pid = clients[count < 0]
                figures[count].append(measure(client, pid, count, options.tasks))
    print_table(figures)


def print_table(figures: dict[int, list[tuple[float, float, float]]]) -> None:
    """Medians, and the least of what it costs; each turn is compared with what was beside it."""
    print("viewers   tasks/s   of none   scheduler µs/task, least   at rest, % of a processor")
    for count, rows in figures.items():
        rate, cost, rest = (median(each[at] for each in rows) for at in range(3))
        share = median(row[0] / none[0] for row, none in zip(rows, figures[-1], strict=True))
        least, name = min(each[1] for each in rows), "without" if count < 0 else f"{count:7d}"
        print(f"{name} {rate:9,.0f} {100 * share:8.0f} % {cost:19.1f} {least:6.1f} {rest:27.1f}")


if __name__ == "__main__":
    main()
