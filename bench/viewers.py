"""What viewers of the dashboard cost: ``python -m bench.viewers``.

A map of no-ops with nobody watching, and with some who read the stream of events, in turns. What
is said once for all of them is the scheduler's; what reads it is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import operator
import subprocess
import sys
from contextlib import contextmanager
from statistics import median
from threading import Event
from time import perf_counter
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit
from urllib.request import urlopen

from bench.servers import ROOT, cpu_seconds
from trio_dask import Client, LocalCluster

if TYPE_CHECKING:
    from collections.abc import Iterator

VIEWERS: Final = (0, 1, 10, 100)
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


def scheduler_pid(client: Client) -> int:
    """The process of the scheduler, as the dashboard says."""
    link = client.dashboard_link.removesuffix("status")
    with urlopen(f"{link}api/v1/system") as answer:
        return int(json.load(answer)["pid"])


def measure(client: Client, pid: int, count: int, tasks: int) -> tuple[float, float, float]:
    """Tasks a second, the scheduler's processor time for each in µs, and its share at rest."""
    with watched(client.dashboard_link, count):
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
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(operator.neg, range(options.tasks)))
        pid = scheduler_pid(client)
        for _ in range(options.rounds):
            for count in VIEWERS:
                figures[count].append(measure(client, pid, count, options.tasks))
    print("viewers   tasks/s   of none   scheduler µs/task   at rest, % of a processor")
    none = median(each[0] for each in figures[0])
    for count, rows in figures.items():
        rate, cost, rest = (median(each[at] for each in rows) for at in range(3))
        print(f"{count:7d} {rate:9,.0f} {100 * rate / none:8.0f} % {cost:19.1f} {rest:26.1f}")


if __name__ == "__main__":
    main()
