"""``python -m bench.bystander SYSTEM ADDRESS``: ask a scheduler something, until stdin ends.

It prints a line when it has begun, and then how long the answers took.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from time import perf_counter
from typing import Final

from bench.arithmetic import quantile
from bench.systems import SYSTEMS

_EVERY_S: Final = 0.002


def main(name: str, address: str) -> None:
    """Ask every few milliseconds."""
    connect = SYSTEMS[name].connect
    assert connect is not None, f"{name} has no scheduler"
    ended = threading.Event()
    with connect(address) as client:
        client.ping()
        print("begun", flush=True)
        threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
        seconds = []
        while not ended.is_set():
            began = perf_counter()
            client.ping()
            seconds.append(perf_counter() - began)
            time.sleep(_EVERY_S)
    print(json.dumps({"p99 ms": quantile(seconds, 0.99) * 1e3, "longest ms": max(seconds) * 1e3}))


def _await_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
