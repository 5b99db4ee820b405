"""From described to done and forgotten: the only places where a task changes its state.

A task is *needed* while a client wants it or a pending task has it as input. What
comes to be needed is begun (`require`), what ceases to be is brought to rest and,
when nothing refers to it, forgotten (`settle`). All of it works on lists of tasks
instead of recursion, for a chain may be a million tasks long.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages.ids import client_of
from trio_dask.scheduler.core import limits, mirroring, state as st
from trio_dask.scheduler.core.drawing import enlist
from trio_dask.scheduler.core.failures import data_lost, out_of_time, packed, remember, unpacked
from trio_dask.scheduler.core.hosts import is_meant
from trio_dask.scheduler.core.ready import ReadyQueue

if TYPE_CHECKING:
    from trio_dask.scheduler.core.limits import Limit
    from trio_dask.scheduler.core.pacing import Wave
    from trio_dask.scheduler.core.state import ClusterState, Task, Worker

#: So many dependents are told that their input has its value in a way of their own.
_MANY: Final = 64
KEPT: Final = 0  # the id under which fire-and-forget tasks are wanted: no client has it


def is_needed(task: Task) -> bool:
    """Whether its value, if it has none, is to be made."""
    return task.wanted or task.needed > 0 or bool(task.also)


def wants(task: Task) -> list[int]:
    """The ids under which it is wanted."""
    return ([task.tid] if task.wanted else []) + list(task.also or ())


# ---------------------------------------------------------------- beginning


def require(state: ClusterState, tasks: list[Task]) -> None:
    """These tasks are needed: begin those that rest, and what they need in turn."""
    while tasks:
        task = tasks.pop()
        if task.state != st.RELEASED or not is_needed(task):
            continue  # what needed it may have come to a bad end over another input
        if task.args is None:
            end(state, task, st.LOST, b"it was let go of, and only its client could make it")
            continue
        if state.late and task.tid in state.late:
            end(state, task, st.FAILED, too_late(state, task, state.late[task.tid]))
            continue
        for dep in task.deps:
            dep.needed += 1
        task.state = st.WAITING
        if not _await_inputs(state, task):
            continue
        tasks += (dep for dep in task.deps if dep.state == st.RELEASED)


def requeue(state: ClusterState, task: Task, *, begun: bool = False) -> None:
    """An attempt came to nothing: wait again, or rest if nobody needs it by now.

    `begun` says that it had begun, as far as that is known.
    """
    worker, task.worker = task.worker, None
    task.attempt = 0
    task.state = st.WAITING
    if state.loosened:
        state.loosened.pop(task.tid, None)
    reason = state.cancelling.pop(task.tid, None)
    if reason is not None:
        end(state, task, st.CANCELLED, packed(reason))
        return
    disadopt(state, task)
    if state.late and task.tid in state.late:
        begun = begun or (worker is not None and not worker.alive)  # else it had come back
        where = worker if begun else None
        end(state, task, st.FAILED, too_late(state, task, state.late[task.tid], where))
    elif not is_needed(task):
        # It rests at once: to forget it may be put off, and it may be wanted again before.
        ended = let_go_of_inputs(task)
        task.state = st.RELEASED
        settle(state, [*ended, task])
    elif _await_inputs(state, task):
        require(state, [dep for dep in task.deps if dep.state == st.RELEASED])


def too_late(state: ClusterState, task: Task, limit: Limit, worker: Worker | None = None) -> bytes:
    """The failure of a task whose deadline is over; it runs on `worker`, if it does."""
    return out_of_time(state.key_of(task), ("deadline", limit.seconds), worker)


def disadopt(state: ClusterState, task: Task) -> None:
    """The task was taken over running, with inputs that are gone: now it needs them, too."""
    adopted = state.reunion.adopted
    if adopted and adopted.pop(task, task) is None:
        for dep in task.deps:
            dep.needed += 1


def _await_inputs(state: ClusterState, task: Task) -> bool:
    """Count the inputs of a waiting task; False if one of them already came to a bad end."""
    missing = 0
    for dep in task.deps:
        if dep.state != st.DONE:
            missing += 1
            if dep.state > st.DONE:
                _share_end(state, dep, task)
                return False
    task.missing = missing
    if not missing:
        make_ready(state, task)
    return True


def make_ready(state: ClusterState, task: Task) -> None:
    """All its inputs have values: into the queue that suits it."""
    task.state = st.READY
    requirement = task.spec.requirement
    home = state.home_of(task) if task.deps and requirement.open else None
    if state.pinned:
        pinned = [dep for dep in task.deps if dep.tid in state.pinned]
        if pinned:
            home = _only_home(state, task, pinned)
            if home is None:
                end(state, task, st.FAILED, state.pinned[pinned[0].tid])
                return
    if state.deaths and state.runs_alone(task):
        bound = home if any(dep.tid in state.pinned for dep in task.deps) else None
        state.alone.setdefault((requirement, bound), ReadyQueue()).push(task)
        return
    if home is not None:
        home.home.push(task)
        if home.draining is None:  # else it only waits there for what happens to its input
            state.homes[home] = None
        return
    requirement.queue.push(task)
    if not requirement.open:
        enlist(state, requirement)


def ripen(state: ClusterState) -> None:
    """Queue those that wait for nothing any more, as many as this turn allows.

    Until then they wait, and what befalls their inputs befalls them.
    """
    pace = state.pace
    runs: dict[ReadyQueue, list[Task]] = {}
    while pace.ripe and pace.left > 0:
        pace.left -= 1
        task = pace.ripe.popleft()
        if task.state != st.WAITING or task.missing:
            continue
        requirement = task.spec.requirement
        if not requirement.open or state.pinned or state.deaths:
            make_ready(state, task)
            continue
        task.state = st.READY
        home = state.home_of(task)
        if home is not None and home.draining is None:
            state.homes[home] = None
        runs.setdefault(requirement.queue if home is None else home.home, []).append(task)
    for queue, tasks in runs.items():
        tasks.sort(key=_rank)
        queue.push_sorted(tasks)


def _rank(task: Task) -> int:
    return task.rank


def _only_home(state: ClusterState, task: Task, pinned: list[Task]) -> Worker | None:
    """The one worker that holds all of the task's inputs that cannot be moved."""
    holders = dict.fromkeys(worker for dep in pinned for worker in dep.holders or ())
    if len(holders) != 1:
        return None
    (home,) = holders
    requirement = task.spec.requirement
    named = not requirement.workers or is_meant(state, requirement.workers, home)
    return home if named and not requirement.resources else None


# ---------------------------------------------------------------- ending


def finish(  # noqa: C901, PLR0912 - once for each task: a call would cost more than it explains
    state: ClusterState, task: Task, value: bytes | None, worker: Worker | None
) -> None:
    """The task has a value: this one, or one that `worker` holds."""
    task.state = st.DONE
    task.worker = None
    task.attempt = 0
    if state.limits or state.late or state.loosened:
        limits.drop_all(state, task)
    if value is not None:
        task.value = value
    elif worker is not None:
        task.holders = [worker]
        worker.held[task.tid] = task
        _doubt(task.holders)
    report(state, task)
    if task.dependents:
        if len(task.dependents) > _MANY:
            _inform_many(state, task.dependents)
        else:
            # A copy: a dependent that can run nowhere comes to its end here, and is forgotten.
            for dependent in tuple(task.dependents):
                if dependent.state == st.WAITING:
                    dependent.missing -= 1
                    if not dependent.missing:
                        make_ready(state, dependent)
    ended: list[Task] = []
    disadopt(state, task)
    for dep in task.deps:
        dep.needed -= 1
        if not dep.needed:
            ended.append(dep)
    if task.spec.once:
        _part_with_inputs(task)
    if task.also:
        task.also.pop(KEPT, None)
        mirroring.ended(state, task)
    if not is_needed(task):
        ended.append(task)
    if ended:
        settle(state, ended)


def _part_with_inputs(task: Task) -> None:
    """It is never made again, so what it was made of is not known for its sake any longer."""
    for dep in task.deps:
        if dep.dependents is not None:
            dep.dependents.pop(task, None)
    task.deps = ()


def _inform_many(state: ClusterState, dependents: dict[Task, None]) -> None:
    """An input of very many has its value."""
    ripe = state.pace.ripe
    for dependent in dependents:
        if dependent.state == st.WAITING:
            dependent.missing -= 1
            if not dependent.missing:
                ripe.append(dependent)
    ripen(state)


def end(state: ClusterState, task: Task, how: int, why: bytes) -> None:
    """The task came to a bad end, and with it everything that waits for it."""
    if how == st.FAILED:
        remember(state, task, why)
    ended: list[Task] = []
    waves = _end_one(state, task, (how, why), ended)
    _spread(state, waves, ended)


def end_more(state: ClusterState) -> None:
    """Go on with bad ends that were put off."""
    waves, state.pace.ending = state.pace.ending, []
    _spread(state, waves, [])


def _spread(state: ClusterState, waves: list[Wave], ended: list[Task]) -> None:
    """End what waits for what has ended; what is too much for this turn is put off."""
    pace = state.pace
    while waves and pace.left > 0:
        tasks, how, why = waves[-1]
        task = next(tasks, None)
        if task is None:
            waves.pop()
        elif task.state in (st.WAITING, st.READY):
            pace.left -= 1
            waves += _end_one(state, task, (how, why), ended)
    pace.ending += waves
    settle(state, ended)


def _end_one(
    state: ClusterState, task: Task, end: tuple[int, bytes], ended: list[Task]
) -> list[Wave]:
    """The task comes to this end; who shares it."""
    how, why = end
    if task.state in st.PENDING:
        disadopt(state, task)
        ended += let_go_of_inputs(task)
    task.state, task.value, task.worker, task.holders = how, why, None, None
    if state.limits or state.late or state.loosened:
        limits.drop_all(state, task)
    report(state, task)
    if task.also:
        task.also.pop(KEPT, None)
        mirroring.ended(state, task)
    ended.append(task)
    if not task.dependents:
        return []
    if how == st.LOST:
        how, why = st.FAILED, data_lost(state.key_of(task), unpacked(why))
    return [(iter(tuple(task.dependents)), how, why)]


def _share_end(state: ClusterState, dep: Task, task: Task) -> None:
    """The task cannot run, as its input `dep` came to a bad end."""
    how, why = dep.state, dep.value or b""
    if how == st.LOST:
        how, why = st.FAILED, data_lost(state.key_of(dep), unpacked(why))
    end(state, task, how, why)


def let_go_of_inputs(task: Task) -> list[Task]:
    """The pending task no longer needs its inputs; those nobody pending needs are returned."""
    if task.queue is not None:
        task.queue.discard(task)
    for dep in task.deps:
        dep.needed -= 1
    return [dep for dep in task.deps if not dep.needed]


# ---------------------------------------------------------------- coming to rest


def settle(state: ClusterState, tasks: list[Task]) -> None:
    """Bring to rest those of these tasks that nobody needs, and forget those nobody refers to.

    What is too much for this turn is looked at in a later one.
    """
    pace = state.pace
    while tasks:
        if pace.left <= 0:
            pace.unsettled += tasks
            return
        pace.left -= 1
        task = tasks.pop()
        if task.wanted or task.needed or task.also:
            continue
        if task.state == st.ASSIGNED:
            recall(task)
            continue
        if task.state == st.DONE:
            drop_value(task)
        elif task.state in (st.WAITING, st.READY):
            tasks += let_go_of_inputs(task)
            task.state = st.RELEASED
        if not task.dependents and state.tasks.get(task.tid) is task:
            _forget(state, task)
            tasks += task.deps
            task.deps = ()


def settle_more(state: ClusterState) -> None:
    """Go on with what was put off."""
    tasks, state.pace.unsettled = state.pace.unsettled, []
    settle(state, tasks)


def _forget(state: ClusterState, task: Task) -> None:
    tid = task.tid
    if state.limits or state.late or state.loosened:
        limits.drop_all(state, task)
    del state.tasks[tid]
    for dep in task.deps:
        if dep.dependents is not None:
            dep.dependents.pop(task, None)
    key = state.names.pop(tid, None)
    if key is not None and state.keys.get(key) is task:  # else another one has, or had, it
        del state.keys[key]
    state.refs.pop(tid, None)
    state.retried.pop(tid, None)
    state.unreached.pop(tid, None)
    state.deaths.pop(tid, None)
    state.cancelling.pop(tid, None)
    if state.cancellers:
        state.cancellers.pop(tid, None)
    state.puts.pop(tid, None)
    state.pinned.pop(tid, None)
    if state.copied:
        state.copied.pop(tid, None)
    if state.copies_asked:
        state.copies_asked.pop(tid, None)
        relay = state.relays.get(tid)
        if relay is not None and not relay.underway:  # else they are heard of
            del state.relays[tid]


def recall(task: Task, *, elsewhere: bool = False) -> None:
    """Ask the worker to give the attempt back, once, if it has not answered it."""
    worker, attempt = task.worker, task.attempt
    if worker is not None and attempt in worker.window and attempt not in worker.recalled:
        worker.recalled[attempt] = elsewhere
        worker.out.recall(task.attempt)


def interrupt(task: Task) -> None:
    """Have the attempt stopped, also if it has begun; its outcome says what came first."""
    if task.worker is not None:
        task.worker.out.interrupt(task.attempt, task.spec.way)


def drop_value(task: Task) -> None:
    """Nobody needs the value: free it wherever it is."""
    for worker in task.holders or ():
        worker.held.pop(task.tid, None)
        if worker.alive:
            worker.out.free(task.tid)
    task.holders = None
    task.value = None
    task.state = st.RELEASED


# ---------------------------------------------------------------- losing


def lose_copy(state: ClusterState, task: Task, worker: Worker, reason: str) -> None:
    """`worker` no longer holds the value; if it was the last, make it again or say it is lost."""
    worker.held.pop(task.tid, None)
    if task.holders is None or worker not in task.holders:
        return
    task.holders.remove(worker)
    if task.holders or task.state != st.DONE:
        _doubt(task.holders)
        return
    task.holders = None
    task.state = st.RELEASED
    for each in task.dependents or ():
        if each.state == st.READY:
            if each.queue is not None:
                each.queue.discard(each)
            each.state, each.missing = st.WAITING, 1
        elif each.state == st.WAITING:
            each.missing += 1
    if task.args is None or task.spec.once:
        end(state, task, st.LOST, packed(reason))
    elif is_needed(task):
        report_again(state, task)
        require(state, [task])
    else:
        settle(state, [task])


def _doubt(holders: list[Worker]) -> None:
    """Those of these who are to leave may be the only holders of a value."""
    for holder in holders:
        if holder.draining is not None:
            holder.draining.stale = True


#: So often one looks again, or goes to a value that is out of reach, before it is made anew.
MOVES_MAX: Final = 3


def is_out_of_reach(state: ClusterState, task: Task) -> bool:
    """Count that one who needs the value, or an input of it, could not reach who has it.

    The next place where it is made may be reached; whether it has been too often is returned.
    """
    count = state.unreached[task.tid] = state.unreached.get(task.tid, 0) + 1
    return count > state.settings.allowed_unreached


# ---------------------------------------------------------------- telling clients


def report(state: ClusterState, task: Task) -> None:
    """Tell everyone who wants the task how it ended."""
    if task.wanted:
        tell(state, task, task.tid)
    if task.also:
        for tid in task.also:
            tell(state, task, tid)


def tell(state: ClusterState, task: Task, tid: int) -> None:
    """Tell the client that wants the task as `tid` how it ended, if it did."""
    client = state.clients.get(client_of(tid))
    if client is None:
        return
    out, value = client.out, task.value
    if task.state == st.DONE:
        out.finished(tid, task)
    elif task.state == st.FAILED:
        out.failed(tid, value or b"")
    elif task.state == st.CANCELLED:
        out.cancelled(tid, unpacked(value))
    elif task.state == st.LOST:
        out.lost(tid, unpacked(value))


def report_again(state: ClusterState, task: Task) -> None:
    """Tell everyone who wants the task that its value is being made again."""
    for tid in wants(task):
        client = state.clients.get(client_of(tid))
        if client is not None:
            client.out.again(tid)
