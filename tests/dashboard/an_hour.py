"""``python -m tests.dashboard.an_hour VIEWERS``: an hour of a cluster's life, in a few seconds.

A scheduler's core and what feeds its dashboard, in a process of their own: printed is the memory
that the process has in use after each ten minutes, in bytes. `Reader` stands for a viewer.
"""

from __future__ import annotations

import gc
import json
import sys

import psutil

from tests.dashboard.busy import BusyCluster
from tests.dashboard.test_feed import Reader
from trio_dask.dashboard.feed import Feed

TASKS_A_MINUTE = 160


def an_hour(viewers: int) -> list[int]:
    """Resident bytes, six times."""
    busy, found = BusyCluster(3), list[int]()
    busy.client()
    feed, readers = Feed(busy.view), [Reader() for _ in range(viewers)]
    for _ in readers:
        feed.join()
    for minute in range(60):
        held = busy.submit("clean", TASKS_A_MINUTE // 2)
        held += busy.submit("evaluate", TASKS_A_MINUTE // 2)
        for second in range(60):
            busy.run(busy.now + 1.0, step=1.0)
            feed.turn(busy.now)
            feed.sample(busy.now)
            for each in readers:
                each.hear(feed, busy.now)
            if second == 30:
                busy.release(held)
        if minute % 10 == 9:
            gc.collect()
            found.append(psutil.Process().memory_info().rss)
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(an_hour(int(sys.argv[1]))))
