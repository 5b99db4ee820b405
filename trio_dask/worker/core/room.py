"""How much room there is for values, and what is done when it gets short.

Two numbers count. What is known to be in values is known at once: above the *target* those
that have not been used for longest go to files. What the processes have in memory is looked
at now and then: when it is too much, more values go, and new ones go there at once; when it
is far too much the worker pauses, and in the end its runner is ended.

A value in a file is served, and read by tasks, from there. It is the worker that writes what
is in the store; what lives in the runner alone, the runner is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from trio_dask.messages.sealing import Pressure, Unload
from trio_dask.messages.tasks import Free, Recall
from trio_dask.messages.values import UNPICKLABLE
from trio_dask.worker.core import inputs
from trio_dask.worker.core.room_books import FILES, NONE, SPARE

if TYPE_CHECKING:
    from trio_dask.messages import Payload
    from trio_dask.messages.values import Values
    from trio_dask.worker.core.state import Runner, WorkerState

#: So much is on its way to files at a time; what is used meanwhile need not go.
LEAVING_BYTES_MAX: Final = 256 << 20
#: A worker that is paused goes on when it has less by this part of its limit.
RESUME: Final = 0.05
#: After files could not be written, it is tried again so much later, seconds.
FULL_S: Final = 10.0
#: A pause that has changed nothing for so long never will, seconds.
VAIN_S: Final = 1.0

# ---------------------------------------------------------------- values come


def keep(state: WorkerState, tid: int, payload: Payload, *, filed: bool = False) -> int:
    """Put a value into the store; its size."""
    nbytes = state.store.put(state.name, tid, payload, filed=filed)
    if state.store.is_filed(tid):
        state.room.lies(tid, nbytes)
    else:
        state.room.comes(tid, nbytes)
    return nbytes


# ---------------------------------------------------------------- values go to files


def relieve(state: WorkerState) -> None:
    """Have as much go to files as has to; called when there is nothing more to be said."""
    room = state.room
    rules = room.rules
    if not rules.limit:
        return
    managed = room.managed
    if rules.spill and not room.spilling and managed > rules.spill * rules.limit:
        room.spilling = True  # it is known before anybody looks
        _press(state)
    over = managed - room.leaving_bytes - rules.target_bytes if rules.target else 0.0
    over = max(over, room.excess)
    if over <= 0:
        return
    if room.copies:
        over -= _let_go_of_copies(state, over)
    if not room.full:
        _choose(state, over)
    for runner in state.runners.values():
        if runner.to_unload:
            serial = state.next_serial()
            runner.unloading[serial] = dict.fromkeys(runner.to_unload)
            runner.out.append(Unload(serial, runner.to_unload))
            runner.to_unload = []


def _choose(state: WorkerState, over: float) -> None:
    """Send values off, so much if there is: large ones, as each gives more room, and then small ones."""
    room = state.room
    most = room.rules.leaving_max
    while over > 0 and room.here and room.leaving_bytes < LEAVING_BYTES_MAX:
        if len(room.leaving) >= min(most, room.rules.files_max + most - len(room.alone)):
            break
        tid, nbytes = next(iter(room.here.items()))
        if not _send_off(state, tid, nbytes):
            break
        over -= nbytes
    if over > 0 and room.small_bytes >= max(1, room.rules.slab_bytes_min):
        _send_small(state, over)


def _let_go_of_copies(state: WorkerState, over: float) -> int:
    """What is in files as well costs nothing to let go of; how many bytes that was."""
    room, store, freed = state.room, state.store, 0
    while freed < over and room.copies:
        tid = next(iter(room.copies))
        nbytes = room.copies.pop(tid)
        room.copies_bytes -= nbytes
        freed += nbytes
        for runner in state.runners.values():
            if store.holds(state.name, tid) and runner.held.pop(tid, None) is not None:
                _free(runner, tid)
    room.excess -= freed
    return freed


def _send_small(state: WorkerState, over: float) -> None:
    """Have small values go together, at least as much as is worth a file."""
    room, gone = state.room, 0
    while room.small and (gone < over or gone < room.rules.slab_bytes_min):
        if room.leaving_bytes >= LEAVING_BYTES_MAX:
            break
        tid, nbytes = next(iter(room.small.items()))
        if not _send_off(state, tid, nbytes):
            break
        gone += nbytes


def _send_off(state: WorkerState, tid: int, nbytes: int) -> bool:
    """Have a value go to a file; whether it may."""
    room = state.room
    most = room.rules.max_spill
    if most and room.filed_bytes + room.leaving_bytes + nbytes > most:
        room.used_up = True
        return False
    room.forget(tid)
    room.excess -= nbytes
    holder = state.holder(tid)
    if state.store.get(tid) is not None:
        state.out.spills.append(tid)
    elif holder is not None:
        holder.to_unload.append(tid)
    else:
        return True
    room.leaving[tid] = nbytes
    room.leaving_bytes += nbytes
    return True


def moved(state: WorkerState, tid: int, payload: Payload, *, shared: bool = False) -> None:
    """The value has been written to a file: from now on that is where it is.

    `shared`: with others, although it is large, as there are too many files.
    """
    store = state.store
    holders = [each for each in state.runners.values() if tid in each.held]
    state.room.leaving_bytes -= state.room.leaving.pop(tid, 0)
    if not holders and not store.holds(state.name, tid):
        return  # it is not needed any more
    store.put(state.name, tid, payload, filed=True)
    store.replace(tid, payload)
    state.room.lies(tid, store.size(tid), shared=shared)
    for runner in holders:
        del runner.held[tid]
        _free(runner, tid)


def _free(runner: Runner, tid: int) -> None:
    last = runner.out[-1] if runner.out else None
    if type(last) is Free:
        last.tids.append(tid)
    else:
        runner.out.append(Free([tid]))


def unmoved(state: WorkerState, tid: int, why: str, now: float) -> None:
    """The value could not be written: it stays and, if there is a reason, so do others for a while."""
    room = state.room
    nbytes = room.leaving.get(tid)
    if nbytes is not None:
        room.forget(tid)
        room.comes(tid, nbytes)
    if why:
        room.full, room.full_until = why, now + FULL_S
        _press(state)


def on_values(state: WorkerState, runner: Runner, message: Values) -> None:
    """What has become of values that a runner was asked to give up, but for those it has."""
    room = state.room
    asked = runner.unloading.get(message.serial)
    if asked is None:
        return
    for tid, status in zip(message.tids, message.statuses, strict=True):
        if status == UNPICKLABLE and tid in asked and tid in room.leaving:
            nbytes = room.leaving[tid]
            room.forget(tid)
            if tid in runner.held:
                room.fixed[tid] = nbytes
                room.fixed_bytes += nbytes
    if message.last:
        del runner.unloading[message.serial]
        # What it has put into a file it has said before.
        for tid in [tid for tid in asked if tid in room.leaving]:
            if tid in runner.held:
                unmoved(state, tid, "the runner cannot write files", state.now)
            else:
                room.forget(tid)


# ---------------------------------------------------------------- the processes' memory


def on_memory(state: WorkerState, used: int, own: dict[int, int], now: float) -> None:
    """The worker uses so much; of this the end of each runner would give back what is `own`."""
    room, rules = state.room, state.room.rules
    room.used, state.now = used, now  # a worker that takes nothing may hear nothing for long
    if not rules.limit:
        return
    if room.full and now >= room.full_until:
        room.full = ""
    if rules.spill and used > rules.spill * rules.limit:
        room.spilling = True
    elif used <= rules.goal_bytes:
        room.spilling = False
    room.excess = used - rules.goal_bytes - room.leaving_bytes if room.spilling else 0.0
    _press(state)
    _pause(state, now)
    most = rules.terminate * rules.limit
    there = [each for each in state.runners.values() if each.ready and own.get(each.number)]
    largest = max(there, key=lambda each: own[each.number], default=None)
    if largest is None or any(each.kill for each in there):
        return
    if most and used > most >= used - own[largest.number]:
        share = f"{rules.terminate:.0%} of the limit of {rules.limit >> 20:,} MiB"
        largest.kill = f"memory: {used >> 20:,} MiB are in use, more than {share}"
        largest.starved = True


def _press(state: WorkerState) -> None:
    """Tell runners how short memory is, if that has changed."""
    room, rules = state.room, state.room.rules
    level = NONE
    if room.spilling:
        used_up = rules.max_spill and room.filed_bytes + room.leaving_bytes >= rules.max_spill
        level = SPARE if room.full or used_up else FILES
    for runner in state.runners.values():
        if level != runner.level and runner.ready and not runner.forgotten:
            runner.level = level
            runner.out.append(Pressure(level))


def _pause(state: WorkerState, now: float) -> None:
    """Take nothing new, or take it again."""
    room, rules = state.room, state.room.rules
    if not rules.pause:
        return
    if room.used > rules.pause * rules.limit and not room.paused:
        room.paused = True
        _give_back(state)
    elif room.paused and room.used <= (rules.pause - RESUME) * rules.limit:
        room.paused = room.one_by_one = False
    if room.paused and not room.one_by_one:
        _look_whether_it_helps(state, now)
    if not room.paused:
        room.vain_since = None
    state.review()


def _give_back(state: WorkerState) -> None:
    """What has not begun runs elsewhere, or later."""
    inputs.give_back(state)
    for runner in state.runners.values():
        if runner.given:
            runner.out.append(Recall(list(runner.given)))


def _look_whether_it_helps(state: WorkerState, now: float) -> None:
    """Where nothing runs and nothing can go to files, a pause would be for ever.

    Then one task after the other goes on: it may need little, or let go of much.
    """
    room = state.room
    given = sum(len(each.given) for each in state.runners.values())
    running = given - len(state.nested.parked)
    to_go = room.here or room.small_bytes >= max(1, room.rules.slab_bytes_min)
    if running > 0 or room.leaving or (to_go and not room.full and room.spilling):
        room.vain_since = None
    elif room.vain_since is None:
        room.vain_since = now
    elif now - room.vain_since >= VAIN_S:
        room.one_by_one = True


def takes_work(state: WorkerState) -> bool:
    """Whether tasks that come now are taken."""
    room = state.room
    return bool(state.taking) and (room.one_by_one or not room.paused)


# ---------------------------------------------------------------- runners


def runner_is_gone(state: WorkerState, runner: Runner) -> None:
    """A runner has nothing any more: what was there alone is gone."""
    state.room.born_filed.difference_update(runner.sealed)
    forget_absent(state)


def forget_absent(state: WorkerState) -> None:
    """What is neither in the store nor in a runner takes no room."""
    room, store = state.room, state.store
    for book in (room.here, room.small, room.fixed, room.leaving, room.filed):
        for tid in [tid for tid in book if not store.holds(state.name, tid)]:
            if book is room.filed or state.holder(tid) is None:
                room.forget(tid)
    for tid in [tid for tid in room.copies if state.holder(tid) is None]:
        room.copies_bytes -= room.copies.pop(tid)


def runner_is_there(state: WorkerState) -> None:
    """There is a new one, which knows of nothing."""
    _press(state)
