"""Rules of the cores broken on purpose, one at a time: what the simulation has to find.

Each is a function that replaces something in a core for as long as the block lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final
from unittest.mock import patch

from tests.simulation.limit_mutations import LIMIT_MUTATIONS
from tests.simulation.memory_mutations import MEMORY_MUTATIONS
from tests.simulation.reunion_mutations import REUNION_MUTATIONS
from tests.simulation.runner_mutations import RUNNER_MUTATIONS
from trio_dask.client.core.table import Table
from trio_dask.client.core.watching import Watching
from trio_dask.messages.nested import Nested, Parked
from trio_dask.messages.tasks import Cancel, Recall, Replicas, Slots
from trio_dask.scheduler.core import (
    dispatch,
    draining,
    drawing,
    fleet,
    intake,
    lifecycle,
    machine as core,
    nested as scheduler_nested,
    plugins,
    restarting,
    retrying,
    runs,
)
from trio_dask.scheduler.core.machine import SchedulerCore
from trio_dask.scheduler.core.nests import Nest
from trio_dask.scheduler.core.outbox import ClientOutbox, WorkerOutbox
from trio_dask.scheduler.core.windows import touch, vacate as vacate_attempt
from trio_dask.testing.simulation.session import run_one
from trio_dask.testing.simulation.workloads import MIXED
from trio_dask.worker.core import (
    Store,
    copying,
    draining as worker_draining,
    machine,
    nested as worker_nested,
    plugins as worker_plugins,
    renewing,
    runners,
)
from trio_dask.worker.core.machine import WorkerCore
from trio_dask.worker.core.state import Outbox

#: Seeds that are played for every change.
SEEDS_MAX: Final = 2000

Mutation = Callable[[], AbstractContextManager[Any]]


def _now_and_then(real: Callable[..., Any], every: int) -> Callable[..., Any]:
    """The same, but every so many calls nothing is done."""
    calls = 0

    def instead(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        return real(*arguments, **named) if calls % every else None

    return instead


def forget_a_release() -> AbstractContextManager[Any]:
    """Some tasks that clients let go of stay wanted."""
    return patch.object(intake, "unwant", _now_and_then(intake.unwant, 5))


def believe_a_recall_at_once() -> AbstractContextManager[Any]:
    """When a client cancels, what was asked back is made anew before it has come."""
    real = intake.on_cancel

    def on_cancel(state: Any, client: Any, message: Any) -> None:
        real(state, client, message)
        for worker in state.workers.values():
            for attempt in list(worker.recalled):
                task = vacate_attempt(worker, attempt)
                if task is not None:
                    lifecycle.requeue(state, task)

    return patch.dict(core._FROM_CLIENT, {Cancel: on_cancel})


@contextmanager
def accept_a_stale_attempt() -> Iterator[None]:
    """A worker gives back what goes on running, and its late outcome is taken for the task's."""
    real, tasks = vacate_attempt, dict[int, Any]()

    def recall(state: Any, message: Any) -> None:
        state.out.returned([attempt for attempt in message.attempts if state.given(attempt)])

    def vacate(worker: Any, attempt: int) -> Any:
        task = real(worker, attempt) or tasks.get(attempt)
        tasks[attempt] = task
        return task

    with (
        patch.dict(machine._FROM_SCHEDULER, {Recall: recall}),
        patch.object(runs, "vacate", vacate),
    ):
        yield


def free_resources_twice() -> AbstractContextManager[Any]:
    """Who ends gives back more than it took."""
    real = vacate_attempt

    def vacate(worker: Any, attempt: int) -> Any:
        task = real(worker, attempt)
        if task is not None and task.spec.requirement.resources:
            worker.free_resources.update(worker.resources)
        return task

    return patch.object(runs, "vacate", vacate)


def free_a_slot_twice() -> AbstractContextManager[Any]:
    """A worker whose runner was replaced claims a slot more than it has."""
    real = WorkerCore.runner_ready

    def runner_ready(core: WorkerCore, number: int) -> None:
        core.state.nthreads += number > 1
        real(core, number)

    return patch.object(WorkerCore, "runner_ready", runner_ready)


def drop_a_cancel_acknowledgement() -> AbstractContextManager[Any]:
    """Some cancellations are not answered."""
    return patch.object(ClientOutbox, "cancelled", _now_and_then(ClientOutbox.cancelled, 3))


def lose_a_requeue() -> AbstractContextManager[Any]:
    """What a worker was doing when it died is sometimes forgotten."""
    return patch.object(fleet, "requeue", _now_and_then(lifecycle.requeue, 3))


def forget_to_free() -> AbstractContextManager[Any]:
    """Workers are not always told that a value is not needed any more."""
    return patch.object(WorkerOutbox, "free", _now_and_then(WorkerOutbox.free, 4))


def turn_priorities_around() -> AbstractContextManager[Any]:
    """What is urgent comes last."""
    real = intake._options

    def options(state: Any, message: Any) -> Any:
        rank0, *others = real(state, message)
        priority = message.options.get("priority", 0)
        return rank0 + 2 * (priority << 44), *others

    return patch.object(intake, "_options", options)


def tell_only_the_first_client() -> AbstractContextManager[Any]:
    """Others who mean the same task by its key do not hear of its end."""

    def report(state: Any, task: Any) -> None:
        if task.wanted:
            lifecycle.tell(state, task, task.tid)

    return patch.object(lifecycle, "report", report)


def ignore_resources() -> AbstractContextManager[Any]:
    """Every worker has all that a task may ask for."""
    return patch.object(drawing, "fits", lambda requirement, worker: bool(worker.resources))


def forget_a_recall() -> AbstractContextManager[Any]:
    """The worker is not always told to give something back."""
    return patch.object(WorkerOutbox, "recall", _now_and_then(WorkerOutbox.recall, 2))


def forget_a_copy() -> AbstractContextManager[Any]:
    """A worker does not always say that it has fetched a value."""

    def replica(outbox: Outbox, tid: int) -> None:
        if tid % 3:
            outbox.scheduler.append(Replicas([tid]))

    return patch.object(Outbox, "replica", replica)


def forget_what_was_queued() -> AbstractContextManager[Any]:
    """Of what a dead runner had not begun, a worker says nothing."""
    real = WorkerCore.runner_died

    def runner_died(core: WorkerCore, number: int, running: Any, certificate: Any) -> None:
        real(core, number, running, certificate)
        for message in core.state.out.scheduler:
            if hasattr(message, "queued"):
                message.queued.clear()

    return patch.object(WorkerCore, "runner_died", runner_died)


def do_not_look_again() -> AbstractContextManager[Any]:
    """A client keeps believing in a value that is being made again."""
    return patch.object(Table, "on_again", lambda table, message: None)


def run_again_unsaid() -> AbstractContextManager[Any]:
    """A failed task runs again, and nobody is told that it is open."""
    return patch.object(retrying, "report_again", lambda state, task: None)


@contextmanager
def ignore_restrictions() -> Iterator[None]:
    """A worker draws from the queues of tasks that are for others, too."""

    def may_run(state: Any, requirement: Any, worker: Any) -> bool:
        return drawing.fits(requirement, worker)

    def asking(state: Any, worker: Any) -> dict[Any, None]:
        return dict.fromkeys(state.restricted)

    with patch.object(drawing, "_may_run", may_run), patch.object(drawing, "_asking", asking):
        yield


def never_overtake() -> AbstractContextManager[Any]:
    """Newcomers wait until there is room in a window, however urgent they are."""
    return patch.object(dispatch, "overtake", lambda state: None)


def do_not_wake_at_the_end() -> AbstractContextManager[Any]:
    """Who waits for a client's tasks is not told that the client has ended."""
    return patch.object(Watching, "break_all", lambda watching: None)


def run_nothing_alone() -> AbstractContextManager[Any]:
    """What ran out of memory waits with all others, and runs beside them."""
    real = lifecycle.make_ready

    def make_ready(state: Any, task: Any) -> None:
        with patch.object(type(state), "runs_alone", lambda state, task: False):
            real(state, task)

    return patch.object(lifecycle, "make_ready", make_ready)


def give_more_to_a_kept_worker() -> AbstractContextManager[Any]:
    """A worker whose runner is new is given tasks although it is kept for one."""
    real = runs.on_slots

    def on_slots(state: Any, worker: Any, message: Any) -> None:
        real(state, worker, message)
        worker.slots = worker.told

    return patch.dict(core._FROM_WORKER, {Slots: on_slots})


def mix_up_inputs() -> AbstractContextManager[Any]:
    """A task with several small inputs gets the first of them twice."""
    real = WorkerOutbox.inputs

    def inputs(outbox: WorkerOutbox, run: Any, task: Any, refs: Any) -> None:
        before = len(run.dep_values)
        real(outbox, run, task, refs)
        if len(run.dep_values) > before + 1:
            run.dep_values[-1] = run.dep_values[before]

    return patch.object(WorkerOutbox, "inputs", inputs)


def believe_that_functions_stay() -> AbstractContextManager[Any]:
    """A new runner is thought to have the functions of the old one."""
    real = runners.on_ready

    def on_ready(state: Any, runner: Any) -> None:
        real(state, runner)
        if runner.number > 1:
            runner.functions.update(state.functions)

    return patch.object(runners, "on_ready", on_ready)


def give_to_who_is_to_leave() -> AbstractContextManager[Any]:
    """A worker that is to leave keeps its slots."""
    real = draining.begin

    def begin(state: Any, worker: Any, reason: str, *, goes: bool) -> Any:
        slots = worker.slots
        found = real(state, worker, reason, goes=goes)
        worker.slots = slots
        touch(state, worker)
        return found

    return patch.object(draining, "begin", begin)


def count_on_who_is_to_leave() -> AbstractContextManager[Any]:
    """A copy with a worker that is to leave as well is thought to be enough."""
    return patch.object(draining, "_stays", lambda worker: worker.alive)


def do_not_look_for_what_was_made_meanwhile() -> AbstractContextManager[Any]:
    """Only what a worker held when it was to leave is moved."""
    return patch.object(lifecycle, "_doubt", lambda holders: None)


def forget_that_a_receiver_died() -> AbstractContextManager[Any]:
    """What a lost worker was to copy is waited for."""
    return patch.object(draining, "_take_back", lambda state, receiver: None)


def keep_what_has_not_begun() -> AbstractContextManager[Any]:
    """A worker that is to leave takes what is still on its way to it."""
    return patch.object(worker_draining, "_give_back", _keep)


def _keep(state: Any, reason: str, *, patient: bool) -> None:
    state.draining = worker_draining.Draining(reason, patient)
    state.drain_rules = worker_draining.DrainRules(grace_s=1e9, move_s=1.0)


def wait_for_ever_for_a_farewell() -> AbstractContextManager[Any]:
    """A worker in a hurry does not look at the clock."""
    return patch.object(worker_draining, "_hurry", lambda state, draining, now: None)


def do_not_answer_for_a_copy() -> AbstractContextManager[Any]:
    """A worker that cannot fetch what it is to copy does not say so."""
    return patch.object(copying, "uncopied", lambda state, tid, failure=b"": None)


def forget_a_farewell() -> AbstractContextManager[Any]:
    """Some workers are never told that they may go."""
    return patch.object(draining, "_say_farewell", _now_and_then(draining._say_farewell, 2))


def let_clients_outlive_their_tasks() -> AbstractContextManager[Any]:
    """The end of a task is not always the end of the client inside it."""
    return patch.object(SchedulerCore, "_part", _now_and_then(SchedulerCore._part, 3))


def leave_children_alone() -> AbstractContextManager[Any]:
    """When a client inside a task ends, what it has submitted goes on."""
    return patch.object(Nest, "tids", lambda nest: ())


def treat_children_as_anybody() -> AbstractContextManager[Any]:
    """What a task submits comes after all that was submitted before."""
    return patch.object(Nest, "rank", lambda nest, rank: rank - (nest.priority << 44))


def count_who_waits() -> AbstractContextManager[Any]:
    """A task that waits for others takes a place in the window all the same."""
    return patch.object(dispatch, "busy", lambda worker: len(worker.window))


def forget_who_goes_on() -> AbstractContextManager[Any]:
    """A task that has waited is thought to wait for ever."""
    real = scheduler_nested.on_parked

    def on_parked(state: Any, worker: Any, message: Parked) -> None:
        if any(message.parked):
            real(state, worker, message)

    return patch.dict(core._FROM_WORKER, {Parked: on_parked})


def lose_an_envelope() -> AbstractContextManager[Any]:
    """Not all that tasks' clients say gets to the scheduler."""
    real = _now_and_then(worker_nested.on_nested, 5)
    return patch.dict(machine._FROM_RUNNER, {Nested: real})


def forget_who_asked() -> AbstractContextManager[Any]:
    """A task's client is not always told that a value has come."""
    return patch.object(worker_nested, "known", _now_and_then(worker_nested.known, 2))


def remember_what_is_forgotten() -> AbstractContextManager[Any]:
    """When all is forgotten a worker keeps what is in its store."""
    return patch.object(Store, "leave", lambda store, holder: None)


def forget_that_a_runner_was_renewed() -> AbstractContextManager[Any]:
    """A worker does not say that it has the new runner it was asked for."""
    return patch.object(renewing, "on_ready", lambda state: None)


def tell_nobody_of_a_restart() -> AbstractContextManager[Any]:
    """Clients are not told that what they wanted is forgotten."""
    real = restarting._take_leave

    def take_leave(state: Any, old: Any, why: str, renewal: Any) -> Any:
        return real(state, {}, why, renewal)

    return patch.object(restarting, "_take_leave", take_leave)


def forget_plugins_of_new_workers() -> AbstractContextManager[Any]:
    """A worker that joins is not told which plugins there are."""
    return patch.object(plugins, "joined", lambda *_: None)


def forget_plugins_of_new_runners() -> AbstractContextManager[Any]:
    """A runner that takes the place of another is not told which plugins there are."""
    return patch.object(worker_plugins, "runner_ready", lambda _: None)


def wait_for_plugins_of_the_gone() -> AbstractContextManager[Any]:
    """A worker that has left is still to set a plugin up."""
    return patch.object(plugins, "gone", lambda *_: None)


def give_up_what_was_sealed() -> AbstractContextManager[Any]:
    """When a runner dies, all that it held is said to be lost."""
    return patch.object(Store, "holds", lambda *_: False)


MUTATIONS: Final[dict[str, Mutation]] = (
    {
        mutation.__name__: mutation
        for mutation in (
            forget_a_release,
            believe_a_recall_at_once,
            accept_a_stale_attempt,
            free_resources_twice,
            free_a_slot_twice,
            drop_a_cancel_acknowledgement,
            lose_a_requeue,
            forget_to_free,
            turn_priorities_around,
            tell_only_the_first_client,
            ignore_resources,
            forget_a_recall,
            forget_a_copy,
            forget_what_was_queued,
            do_not_look_again,
            run_again_unsaid,
            ignore_restrictions,
            never_overtake,
            do_not_wake_at_the_end,
            run_nothing_alone,
            give_more_to_a_kept_worker,
            mix_up_inputs,
            believe_that_functions_stay,
            give_to_who_is_to_leave,
            count_on_who_is_to_leave,
            do_not_look_for_what_was_made_meanwhile,
            forget_that_a_receiver_died,
            keep_what_has_not_begun,
            wait_for_ever_for_a_farewell,
            do_not_answer_for_a_copy,
            forget_a_farewell,
            let_clients_outlive_their_tasks,
            leave_children_alone,
            treat_children_as_anybody,
            count_who_waits,
            forget_who_goes_on,
            lose_an_envelope,
            forget_who_asked,
            remember_what_is_forgotten,
            forget_that_a_runner_was_renewed,
            tell_nobody_of_a_restart,
            forget_plugins_of_new_workers,
            forget_plugins_of_new_runners,
            wait_for_plugins_of_the_gone,
            give_up_what_was_sealed,
        )
    }
    | LIMIT_MUTATIONS
    | MEMORY_MUTATIONS
    | RUNNER_MUTATIONS
    | REUNION_MUTATIONS
)


def first_failing(seeds: Iterable[int] = range(SEEDS_MAX), workload: str = MIXED) -> int | None:
    """The first seed that does not get through; None if all of them do."""
    for seed in seeds:
        result = run_one(seed, workload=workload)
        if isinstance(result, str) or not result.ok:
            return seed
    return None
