"""How long the scheduler leaves a question unanswered while it is busy.

From outside that is what can be seen of the longest block of its loop. The bystander who asks has
to get a processor, too: on a machine with fewer of them than there are busy processes the figure
is an upper bound.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from bench import graphs
from bench.servers import ROOT

if TYPE_CHECKING:
    from bench.turn import Turn


def measure(turn: Turn) -> dict[str, float]:
    """A bystander asks again and again, while a map is run."""
    running, scale = turn.running, turn.scale
    with subprocess.Popen(
        [sys.executable, "-m", "bench.bystander", turn.system.name, running.address],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=ROOT,
    ) as bystander:
        assert bystander.stdin is not None
        assert bystander.stdout is not None
        assert bystander.stdout.readline(), "the bystander did not start"
        try:
            graph = graphs.noop_map(scale.tasks)
            assert running.client.run(graph.build) == graph.expected, "wrong values"
        finally:
            bystander.stdin.close()
        figures: dict[str, float] = json.loads(bystander.stdout.readline())
        return figures
