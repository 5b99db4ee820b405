"""What it takes to be there: import, start, stop, and being idle."""

from __future__ import annotations

import subprocess
import sys
import time
from time import perf_counter
from typing import TYPE_CHECKING, Final

from bench import graphs
from bench.servers import ROOT, cpu_seconds, resident, settle, user_environ

if TYPE_CHECKING:
    from bench.turn import Turn

_IMPORTS: Final = 3


def measure_import(turn: Turn) -> dict[str, float]:
    """Import the client in a new interpreter; the best of some, as the first may compile."""
    tries = [_import(turn.system.client) for _ in range(_IMPORTS)]
    return {
        "import s": min(seconds for seconds, _ in tries),
        "import MiB": min(memory for _, memory in tries) / 2**20,
    }


def _import(statement: str) -> tuple[float, int]:
    timed = (
        "import time; began = time.perf_counter()\n"
        f"{statement}\n"
        "print(time.perf_counter() - began, flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", timed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=user_environ(),
        cwd=ROOT,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        seconds = float(process.stdout.readline())
        memory = resident([process.pid])
        process.stdin.write(b"\n")
    return seconds, memory


def measure_start(turn: Turn) -> dict[str, float]:
    """From nothing to the first value, and back to nothing; the client is imported already."""
    turn.close()
    graph = graphs.noop_map(1)
    began = perf_counter()
    with turn.system.open() as running:
        values = running.client.run(graph.build)
        first = perf_counter()
        assert values == graph.expected
        stopping = perf_counter()
    return {"first result s": first - began, "stop s": perf_counter() - stopping}


def measure_idle(turn: Turn) -> dict[str, float]:
    """Share of a processor that is used though there is nothing to do."""
    roles = turn.running.roles()
    settle([pid for pids in roles.values() for pid in pids])
    began = perf_counter()
    before = {role: sum(map(cpu_seconds, pids)) for role, pids in roles.items()}
    time.sleep(turn.scale.idle_s)
    seconds = perf_counter() - began
    return {
        f"{role} CPU %": (sum(map(cpu_seconds, pids)) - before[role]) / seconds * 100
        for role, pids in roles.items()
    }
