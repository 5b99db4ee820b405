"""What it costs when a process that runs tasks dies."""

from __future__ import annotations

import os
import signal
import threading
from time import perf_counter
from typing import TYPE_CHECKING, Final

from bench import graphs

if TYPE_CHECKING:
    from bench.turn import Turn

_TASK_S: Final = 0.01
#: How far the tasks have come when it happens.
_WHEN: Final = 0.4


def measure(turn: Turn) -> dict[str, float]:
    """The same tasks undisturbed, and with one of the processes killed underway.

    All values are checked: a task that was lost, or an error, is an error of the case.
    """
    running, graph = turn.running, graphs.dozes(turn.scale.dozes, _TASK_S)

    def timed() -> float:
        began = perf_counter()
        assert running.client.run(graph.build) == graph.expected, "wrong values"
        return perf_counter() - began

    undisturbed = timed()
    victim = running.roles()[running.hand][0]
    killer = threading.Timer(_WHEN * undisturbed, os.kill, (victim, signal.SIGKILL))
    killer.start()
    disturbed = timed()
    killer.join()
    return {"undisturbed s": undisturbed, "extra s": disturbed - undisturbed}
