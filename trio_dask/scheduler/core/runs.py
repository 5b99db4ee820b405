"""What workers report: attempts that ended, and values they hold or lost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from trio_dask.messages import tasks as words
from trio_dask.scheduler.core import agreeing, copies, draining, returning, state as st
from trio_dask.scheduler.core.brief import is_brief
from trio_dask.scheduler.core.chronicle import DEATH, note
from trio_dask.scheduler.core.deaths import ALONE_MAX, Deaths, death_of, described
from trio_dask.scheduler.core.expiring import on_stopped
from trio_dask.scheduler.core.failures import killed, unreached
from trio_dask.scheduler.core.lifecycle import (
    MOVES_MAX,
    end,
    finish,
    is_out_of_reach,
    lose_copy,
    requeue,
)
from trio_dask.scheduler.core.misuse import Misuse
from trio_dask.scheduler.core.windows import touch, vacate

if TYPE_CHECKING:
    from typing import Any

    from trio_dask.messages.session import Heartbeat
    from trio_dask.scheduler.core.state import ClusterState, Prefix, Task, Worker


def on_done(state: ClusterState, worker: Worker, message: words.Done, now: float) -> None:
    """Attempts that ran to their end."""
    worker.last_done = now
    prefix: Prefix | None = None
    total = longest = 0.0
    count = 0
    columns = (message.attempts, message.statuses, message.seconds, message.nbytes, message.values)
    for attempt, status, seconds, nbytes, value in zip(*columns, strict=True):
        if worker.stray and status == words.OK_HELD and attempt in worker.window:
            worker.stray.pop(worker.window[attempt].tid, None)  # it is the value itself now
        task = vacate(worker, attempt)
        if task is None:
            returning.free_disowned(state, worker, attempt, status)
            continue  # an attempt that was given up
        function = task.spec.function
        if function is not None and function.prefix is not prefix:
            if prefix is not None:
                prefix.ended(total, count, longest)
            prefix, total, longest, count = function.prefix, 0.0, 0.0, 0
        total += seconds
        count += 1
        if seconds > longest:  # noqa: PLR1730  a call to max would cost more than all of this row
            longest = seconds
        if status > words.OK_HELD:
            _on_bad_end(state, task, value, status=status, seconds=seconds)
        else:
            if state.cancelling:
                state.cancelling.pop(task.tid, None)  # the outcome came first
            task.nbytes = nbytes
            finish(state, task, value if status == words.OK_INLINE else None, worker)
    if prefix is not None:
        prefix.ended(total, count, longest)
    state.finished_ever += len(message.attempts)
    touch(state, worker)


def _on_bad_end(
    state: ClusterState, task: Task, failure: bytes, *, status: int, seconds: float
) -> None:
    if status != words.ERROR:
        on_stopped(state, task, status, seconds)
        return
    if task.spec.retries:
        tried = state.retried.get(task.tid, 0)
        if tried < task.spec.retries:
            state.retried[task.tid] = tried + 1
            requeue(state, task)  # what was to be cancelled is, instead
            return
    state.cancelling.pop(task.tid, None)
    end(state, task, st.FAILED, failure)


def on_returned(state: ClusterState, worker: Worker, message: words.Returned) -> None:
    """Attempts given back unbegun."""
    for attempt in message.attempts:
        relieved = worker.recalled.get(attempt, False)
        task = vacate(worker, attempt)
        if task is None:
            continue
        requeue(state, task)
        if relieved and task.queue is worker.home:
            worker.home.discard(task)  # it came back to run elsewhere, and moves its inputs
            state.anywhere.queue.push(task)
    touch(state, worker)


def on_unrunnable(state: ClusterState, worker: Worker, message: words.Unrunnable) -> None:
    """Attempts whose inputs were not where we said."""
    tasks: dict[Task, None] = {}
    unreached_by: dict[Task, tuple[Task, str]] = {}
    for attempt, tid, place in zip(message.attempts, message.tids, message.places, strict=True):
        task = vacate(worker, attempt)
        if task is not None:
            tasks[task] = None
        dep = state.tasks.get(tid)
        for address in place.split():
            holder = state.workers.get(address)
            if dep is not None and holder is not None and holder in (dep.holders or ()):
                if task is not None and holder is not worker:
                    unreached_by[task] = dep, place
                    if _may_go_to(state, task, holder):
                        continue  # where the value may be as whole as ever
                holder.out.free(dep.tid)
                lose_copy(state, dep, holder, f"it was not at {address}")
    for task in tasks:
        if task in unreached_by and is_out_of_reach(state, task):
            dep, place = unreached_by[task]
            why = unreached(state.key_of(task), worker.name, state.key_of(dep), place)
            end(state, task, st.FAILED, why)
        else:
            requeue(state, task)
    touch(state, worker)


def _may_go_to(state: ClusterState, task: Task, holder: Worker) -> bool:
    """Whether all inputs of the task are there: for the first few times, it is not they that move."""
    here = all(dep.value is not None or holder in (dep.holders or ()) for dep in task.deps)
    return here and task.spec.requirement.open and state.unreached.get(task.tid, 0) < MOVES_MAX


def on_pinned(state: ClusterState, worker: Worker, message: words.Pinned) -> None:
    """Attempts one of whose inputs cannot leave the place where it is: they go there."""
    tasks: dict[Task, None] = {}
    rows = zip(message.attempts, message.tids, message.failures, strict=True)
    for attempt, tid, failure in rows:
        dep = state.tasks.get(tid)
        if dep is not None and dep.tid == tid:
            state.pinned[tid] = failure
        task = vacate(worker, attempt)
        if task is not None:
            tasks[task] = None
    for task in tasks:
        requeue(state, task)
    touch(state, worker)


def on_replicas(state: ClusterState, worker: Worker, message: words.Replicas) -> None:
    """The worker fetched copies."""
    if state.draining:
        draining.arrived(state, worker, message.tids)
    for tid in message.tids:
        task = state.tasks.get(tid)
        if task is not None and task.tid == tid and task.worker is worker:
            worker.stray[tid] = None  # freed now, the value would go that is about to be made
        elif task is None or task.state != st.DONE or task.tid != tid:
            worker.out.free(tid)
        elif task.holders is None:
            worker.out.free(tid)  # when made again it was small
        elif worker not in task.holders:
            task.holders.append(worker)
            worker.held[tid] = task
            copies.made(state, task)
    if state.orders or state.relays:
        copies.arrived(state, worker, message.tids)


def on_stored(state: ClusterState, worker: Worker, message: words.Stored) -> None:
    """A client put values there."""
    for tid, nbytes in zip(message.tids, message.nbytes, strict=True):
        task = state.tasks.get(tid)
        if task is None or task.tid != tid or task.args is not None:
            worker.out.free(tid)
        elif task.state == st.WAITING:
            state.puts.pop(tid, None)
            task.nbytes = nbytes
            finish(state, task, None, worker)
            if state.relays:
                copies.stored(state, task)
        elif task.state != st.DONE or task.holders is None:
            worker.out.free(tid)
        elif worker not in task.holders:
            task.holders.append(worker)
            worker.held[tid] = task


def on_runner_died(state: ClusterState, worker: Worker, message: words.RunnerDied) -> None:
    """The process that ran the worker's tasks is gone; only what was running is suspected."""
    if not is_brief(message.certificate):
        raise Misuse("a death certificate that says too much")
    death = death_of(message.certificate, 0, worker.name)
    note(state, DEATH, worker.name, f"its process has ended: {described(death)}")
    waiting = [each for each in message.running if each in worker.parked]
    running = [(each, task) for each in message.running if (task := vacate(worker, each))]
    queued = [task for task in (vacate(worker, each) for each in message.queued) if task]
    reason = f"the process of {worker.name} that held it died"
    for tid in message.lost:
        task = state.tasks.get(tid)
        if task is not None:
            lose_copy(state, task, worker, reason)
    for task in queued:
        requeue(state, task)
    for attempt, task in running:
        # It was ended on purpose, or what was to be stopped has stopped that way.
        if message.certificate.get("on_purpose") or task.tid in state.cancelling:
            requeue(state, task, begun=True)
        else:
            death = death_of(message.certificate, attempt, worker.name)
            if attempt in waiting:
                death.pop("oom", None)  # to run alone would not help: others run while it waits
            blame(state, task, death, worker)
    touch(state, worker)


def blame(state: ClusterState, task: Task, death: dict[str, Any], worker: Worker) -> None:
    """The task was running when its process died: try again, but not for ever.

    What died for want of memory is tried once more, alone on its worker.
    """
    if task.tid in state.late:
        requeue(state, task, begun=True)  # out of time comes before loss
        return
    deaths = state.deaths.get(task.tid)
    if deaths is None:
        deaths = state.deaths[task.tid] = Deaths()
    deaths.add(death)
    allowed = state.settings.allowed_failures
    if deaths.unexplained > allowed or deaths.starved > ALONE_MAX:
        end(state, task, st.FAILED, killed(state.key_of(task), deaths, worker.address, allowed))
    else:
        requeue(state, task, begun=True)


def on_slots(state: ClusterState, worker: Worker, message: words.Slots) -> None:
    """How many tasks the worker runs at once from now on."""
    worker.told = max(0, message.nthreads)
    worker.slots = worker.usable_slots
    touch(state, worker)


def on_running(state: ClusterState, worker: Worker, message: words.Running) -> None:
    """What has been running for a while lasts at least that long: estimates learn from it."""
    worker.running = {
        attempt: state.now - seconds
        for attempt, seconds in zip(message.attempts, message.seconds, strict=True)
        if attempt in worker.window and 0 <= seconds < math.inf
    }
    for attempt, seconds in zip(message.attempts, message.seconds, strict=True):
        task = worker.window.get(attempt)
        function = task.spec.function if task is not None else None
        if function is not None and seconds > function.prefix.estimate_s():
            function.prefix.observe(seconds, 1, seconds)


def on_heartbeat(state: ClusterState, worker: Worker, message: Heartbeat) -> None:
    """The worker is alive."""
    if not is_brief(message.metrics):
        raise Misuse("metrics that say too much")
    worker.metrics = message.metrics
    worker.incoming = 0
    agreeing.on_beat(state, worker, message)
