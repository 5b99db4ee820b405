"""Rules about tasks with a limited time: not over before it is over, and not long after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages.failure import Failure
from trio_dask.messages.ids import task_of_key
from trio_dask.messages.tasks import COOPERATE, INTERRUPT, KILL, Cancelled, Failed, Finished
from trio_dask.testing.simulation.truth import BOUND, FAILURE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.messages import Message
    from trio_dask.testing.simulation.cluster import Cluster

#: Limits are counted by clocks that do not run quite alike in numbers of 64 bits.
_ALMOST_S: Final = 1e-6
#: Without faults everything has ended so long after its limit: the ladder, and some ways there.
_BEYOND_S: Final = {COOPERATE: 32.0, INTERRUPT: 3.0, KILL: 3.0}


def nobody_is_late_too_early(
    cluster: Cluster, said: list[tuple[int, list[Message]]]
) -> Iterator[str]:
    """Nothing is out of time before its time, by the clock on the wall; the books note when."""
    truth, now = cluster.truth, cluster.world.now
    for _, messages in said:
        for message in messages:
            if isinstance(message, Finished | Failed | Cancelled):
                truth.told.update((tid, now) for tid in message.tids if tid not in truth.told)
            if not truth.numbers or not isinstance(message, Failed):
                continue
            for failure in message.failures:
                if failure.startswith((FAILURE, BOUND)):
                    continue
                origin = Failure.from_bytes(failure).origin
                number = truth.numbers.get(task_of_key(str(origin.get("key", ""))) or 0)
                if number is None or "limit" not in origin:
                    continue
                timeout, deadline, since = truth.limits[number]
                if origin["limit"] == "deadline":
                    over = since + deadline
                else:
                    over = truth.began[number] + timeout
                if now < over - _ALMOST_S:
                    yield f"task {number} is out of time {over - now} s too early"


def limits_hold(cluster: Cluster) -> Iterator[str]:
    """Where nothing goes wrong, whatever has a deadline has ended soon after it."""
    truth = cluster.truth
    if cluster.plan.faults or truth.restarted:
        return
    ways = {
        task.number: step.options.get("on_cancel", INTERRUPT)
        for client in cluster.plan.clients
        for step in client.steps
        for task in step.tasks
    }
    for tid, number in truth.numbers.items():
        _, deadline, since = truth.limits[number]
        over = since + deadline + _BEYOND_S[ways[number]]
        if truth.told.get(tid, 0.0) > over:
            yield f"task {number} has ended {truth.told[tid] - since} s after it was submitted"
