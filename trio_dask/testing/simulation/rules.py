"""What must hold in a simulated cluster, each rule a sentence in one place.

A rule looks and says what it finds wrong. Those of `ALWAYS` hold between any two events,
those of `WHEN_QUIET` when no message is under way, those of `AT_THE_END` when all clients
have let go of everything. The scheduler's own books have rules of their own, which are
kept beside them: `trio_dask.scheduler.core.invariants`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sized
from typing import TYPE_CHECKING, Final

from trio_dask.client.core import CANCELLED, ERROR, FINISHED, LOST, PENDING, STATUS_NAMES
from trio_dask.messages.failure import Failure
from trio_dask.messages.ids import client_of
from trio_dask.scheduler.core import state as st
from trio_dask.scheduler.core.alone import beside_alone
from trio_dask.scheduler.core.deaths import ALONE_MAX
from trio_dask.scheduler.core.lifecycle import wants
from trio_dask.scheduler.core.reunion import ANOTHER
from trio_dask.testing.simulation.client import DIED, DONE, LOST_FOR_GOOD, NOBODY
from trio_dask.testing.simulation.handing_out import (
    no_inversion_lasts,
    nobody_idles,
    restrictions_are_kept,
    urgent_first,
)
from trio_dask.testing.simulation.leaving import (
    drains_end,
    farewells_are_true,
    nobody_gives_to_the_leaving,
)
from trio_dask.testing.simulation.limits import limits_hold, nobody_is_late_too_early
from trio_dask.testing.simulation.presence import (
    connected,
    counted_on,
    is_present,
    present,
    registered,
)
from trio_dask.testing.simulation.reuniting import nobody_is_overtaken
from trio_dask.testing.simulation.truth import BOUND, FAILURE
from trio_dask.worker.core.room import slots_of

if TYPE_CHECKING:
    from trio_dask.messages import Message
    from trio_dask.testing.simulation.client import Outcome, SimClient
    from trio_dask.testing.simulation.cluster import Cluster
    from trio_dask.testing.simulation.nest import SimNest

Rule = Callable[["Cluster"], Iterator[str]]
SaidRule = Callable[["Cluster", "list[tuple[int, list[Message]]]"], Iterator[str]]


# ---------------------------------------------------------------- between any two events


def nobody_misbehaves(cluster: Cluster) -> Iterator[str]:
    """No peer says to the scheduler what it must not say."""
    yield from cluster.scheduler.complaints


def proposals_can_be_followed(cluster: Cluster) -> Iterator[str]:
    """A placement policy proposes nothing that cannot be done."""
    yield from cluster.scheduler.core.state.policy_faults


def answers_are_final(cluster: Cluster) -> Iterator[str]:
    """A client is told of one end for each task, and of another only if that was taken back."""
    for client in cluster.clients.values():
        yield from client.answers.violations


def one_live_attempt(cluster: Cluster) -> Iterator[str]:
    """No task is with two living workers that the scheduler counts on."""
    seen: dict[int, str] = {}
    for worker, unheard in counted_on(cluster):
        state = worker.core.state
        given = [tid for attempt, tid in state.given.items() if attempt not in unheard]
        waiting = [row.tid for row in state.waiting.values() if row.attempt not in unheard]
        for tid in (*given, *waiting):
            if tid in seen:
                yield f"task {tid:x} is with {seen[tid]} and {worker.address}"
            seen[tid] = worker.address


def slots_are_not_overcommitted(cluster: Cluster) -> Iterator[str]:
    """A worker runs no more tasks at a time than it has slots."""
    for worker in cluster.workers.values():
        if len(worker.runner.running) > worker.plan.nthreads:
            yield f"{worker.address} runs {len(worker.runner.running)} tasks"


def resources_are_not_overcommitted(cluster: Cluster) -> Iterator[str]:
    """What a worker's running tasks take together is what it has, at most."""
    for worker, record in registered(cluster):
        taken: Counter[str] = Counter()
        for attempt in worker.runner.running:
            task = record.window.get(attempt)
            if task is not None:
                taken.update(dict(task.spec.requirement.resources))
        for name, units in taken.items():
            if units > worker.plan.resources.get(name, 0) + 1e-6:
                yield f"{worker.address} runs tasks that take {units} {name}"


def who_ran_out_of_memory_runs_alone(cluster: Cluster) -> Iterator[str]:
    """Nothing runs, or waits to, on a worker beside a task whose process ran out of memory."""
    state = cluster.scheduler.core.state
    for worker, record in registered(cluster):
        runner = worker.runner
        there = runner.running.keys() | runner.unbegun.keys() if runner.alive else set()
        beside = there.intersection(beside_alone(state, record))
        if beside:
            yield f"{worker.address} has {sorted(beside)} beside a task that runs alone"


def ended_clients_wait_for_nothing(cluster: Cluster) -> Iterator[str]:
    """Whoever waited for anything when a client ended has been told."""
    for client in cluster.clients.values():
        if client.dead and client.waits:
            yield f"{client.name} has ended ({client.core.ended}): {len(client.waits)} still wait"


# ---------------------------------------------------------------- when no message is under way


def the_welcomed_are_known(cluster: Cluster) -> Iterator[str]:
    """Who believes to be connected is on the books of the scheduler that is there now."""
    state = cluster.scheduler.core.state
    for worker in cluster.workers.values():
        bond = worker.core.state.bond
        here = worker.registered and bond is not None and not bond.away
        if here and worker.address not in state.workers:
            yield f"{worker.address} is not known"
    for client in present(cluster):
        core = client.core
        if core.number:
            known = core.cluster == state.cluster and core.number in state.clients
            if not known:
                yield f"{client.name} of the cluster {core.cluster} is not known"


def books_agree_on_attempts(cluster: Cluster) -> Iterator[str]:
    """The scheduler's window of a worker is what that worker has been given and not answered."""
    for worker, record in connected(cluster):
        state = worker.core.state
        there = {**dict.fromkeys(state.given), **dict.fromkeys(state.waiting)}
        for attempt in state.abandoned:  # reported as stopped before it has
            del there[attempt]
        if there.keys() != record.window.keys():
            yield f"{worker.address} has {sorted(there)}, its window {sorted(record.window)}"
        if worker.runner.alive:
            runner = worker.runner
            running = {**runner.running, **runner.unbegun, **runner.parked}
            if running.keys() != state.given.keys():
                yield f"{worker.address} knows of {sorted(state.given)}, its runner {sorted(running)}"


def books_agree_on_values(cluster: Cluster) -> Iterator[str]:
    """What the scheduler believes a worker to hold, it holds, and nothing else.

    But for copies of what it is making anew, which are let go of when it has.
    """
    for worker, record in connected(cluster):
        state = worker.core.state
        there = state.held.keys() | state.store.held_by(worker.name)
        if there - record.stray.keys() != record.held.keys():
            yield f"{worker.address} holds {sorted(there)}, on record are {sorted(record.held)}"
        if worker.runner.alive and worker.runner.values.keys() != state.held.keys():
            yield f"the runner of {worker.address} holds {sorted(worker.runner.values)}"


def books_agree_on_slots(cluster: Cluster) -> Iterator[str]:
    """The scheduler knows how many tasks a worker can run."""
    for worker, record in connected(cluster):
        if record.told != slots_of(worker.core.state):
            yield f"{worker.address} has {record.told} slots on record"
        if record.slots != record.usable_slots:
            yield f"{record.slots} slots of {worker.address} are used"


def books_agree_on_who_waits(cluster: Cluster) -> Iterator[str]:
    """The scheduler knows which tasks have no slot, and which have a client."""
    for worker, record in connected(cluster):
        state, runner = worker.core.state, worker.runner
        if not runner.alive:
            continue
        parked = runner.parked.keys() - state.abandoned
        if record.parked.keys() != parked:
            yield f"{worker.address} has {sorted(parked)} waiting, on record {sorted(record.parked)}"
        nests = {attempt for attempt, nest in runner.nests.items() if not nest.core.ended}
        nests -= state.abandoned
        if record.nested.keys() != nests:
            yield f"{worker.address} has clients in {sorted(nests)}, not {sorted(record.nested)}"


def nobody_outlives_its_task(cluster: Cluster) -> Iterator[str]:
    """The scheduler knows no client inside a task but those of tasks that run."""
    state = cluster.scheduler.core.state
    for client in state.clients.values():
        nest = client.nest
        if nest is not None and nest.worker.nested.get(nest.attempt) is not client:
            yield f"the client {client.name} has no task"


def books_agree_on_functions(cluster: Cluster) -> Iterator[str]:
    """A worker that is up has the functions that the scheduler need not send it again."""
    for worker, record in connected(cluster):
        missing = record.functions - worker.core.state.functions
        if worker.core.state.up and missing:
            yield f"{worker.address} lacks the functions {sorted(missing)}"


def plugins_are_everywhere(cluster: Cluster) -> Iterator[str]:
    """Each worker, and the runner that runs its tasks, has the plugins that there are, in order."""
    there = cluster.scheduler.core.state.plugins.there
    if cluster.scheduler.core.state.plugins.changes:
        return  # where one could not be set up it is gone already
    for worker, _ in connected(cluster):
        state = worker.core.state
        if list(state.plugins.items()) != list(there.items()):
            yield f"{worker.address} has the plugins {list(state.plugins)}, not {list(there)}"
        has = worker.runner.plugins
        settled = worker.runner.alive and not worker.runner.holds
        if settled and state.up and list(has.items()) != list(there.items()):
            yield f"the runner of {worker.address} has the plugins {list(has)}, not {list(there)}"


def _holders(cluster: Cluster) -> Iterator[SimClient | SimNest]:
    """All clients, also those inside tasks."""
    yield from cluster.clients.values()
    for worker, _ in registered(cluster):
        if worker.runner.alive:
            yield from worker.runner.nests.values()


def wanted_is_what_clients_hold(cluster: Cluster) -> Iterator[str]:
    """What the scheduler believes a client to want, it wants, and nothing else is wanted."""
    state = cluster.scheduler.core.state
    wanted: dict[int, set[int]] = {number: set() for number in state.clients}
    for task in state.tasks.values():
        for tid in wants(task):
            if tid and client_of(tid) in wanted:
                wanted[client_of(tid)].add(tid)
            elif tid:
                yield f"{tid:x} is wanted by a client that is gone"
    for client in _holders(cluster):
        if is_present(cluster, client) and client.core.number in wanted:
            held = dict(client.held())
            # What has come to a bad end need not be remembered for it.
            waits = {tid for tid, status in held.items() if status in (PENDING, FINISHED)}
            theirs = wanted[client.core.number]
            if theirs - held.keys():
                yield f"{client.name} does not hold {_hex(theirs - held.keys())}"
            if waits - theirs:
                yield f"{client.name} holds {_hex(waits - theirs)}, which the scheduler forgot"


def _hex(tids: set[int]) -> list[str]:
    return [f"{tid:x}" for tid in sorted(tids)]


def clients_know_the_end(cluster: Cluster) -> Iterator[str]:
    """A client knows of each of its tasks whether it has ended, and how."""
    state = cluster.scheduler.core.state
    statuses = {st.DONE: FINISHED, st.FAILED: ERROR, st.CANCELLED: CANCELLED, st.LOST: LOST}
    for client in _holders(cluster):
        if client.core.ended or not is_present(cluster, client):
            continue
        for tid, status in client.held():
            task = state.tasks.get(tid)
            if task is None or tid not in wants(task):
                continue  # it was cancelled for this client only
            if status != statuses.get(task.state, PENDING):
                yield f"{client.name} believes {tid:x} {STATUS_NAMES[status]}: {task!r}"


def recalls_are_answered(cluster: Cluster) -> Iterator[str]:
    """What was asked back, and had not begun, has come back."""
    for worker, record in connected(cluster):
        kept = [each for each in record.recalled if each in worker.runner.unbegun]
        if kept and worker.runner.alive:
            yield f"{worker.address} keeps {kept}, which it was asked for"


# ---------------------------------------------------------------- in the end


def outcomes_are_right(cluster: Cluster) -> Iterator[str]:
    """Every task came out as it had to: its value, or an end that has a reason."""
    for client in cluster.clients.values():
        for number, outcome in client.outcomes.items():
            problem = _problem(cluster, number, outcome)
            if problem:
                yield f"{client.name}: task {number} {problem}"


def _problem(cluster: Cluster, number: int, outcome: Outcome) -> str:
    truth = cluster.truth
    status, value = outcome
    causes = truth.causes(number)
    if status == FINISHED:
        right = not causes["fails"] and value == truth.expected(number)
        return "" if right else f"has the value {value!r}"
    if status == CANCELLED:
        return "" if causes["stopped"] or truth.restarted else "is cancelled though nobody asked"
    if status == LOST:
        reason = bool(causes["scattered"]) or cluster.network.parted_for_ever or truth.restarted
        return "" if reason else "is lost though it can be made again"
    if value.startswith(FAILURE):
        explained = int(value.removeprefix(FAILURE)) in causes["fails"]
    elif value.startswith(BOUND):
        explained = int(value.removeprefix(BOUND)) in causes["pinned"]
    else:
        kind = Failure.from_bytes(value).kind
        died = truth.runner_deaths > cluster.plan.allowed_failures
        starved = max(truth.starved.values(), default=0) > ALONE_MAX
        killed = kind.endswith("KilledWorker") and (died or starved)
        # A task that was cancelled for one client only is gone for that client.
        reason = bool(causes["scattered"] or causes["stopped"] or truth.restarted)
        reason = reason or cluster.network.parted_for_ever
        late = kind.endswith("TaskTimeout") and bool(causes["limited"])
        explained = killed or late or (kind.endswith("DataLost") and reason)
    return "" if explained else f"fails without reason: {value!r}"


def clients_end_for_a_reason(cluster: Cluster) -> Iterator[str]:
    """Nobody but those to whom something happened ends before all is done."""
    faults = cluster.plan.faults
    kinds = {fault.kind for fault in faults}
    if any(fault.kind == "scheduler dies" and not fault.seconds for fault in faults):
        kinds.add("no scheduler comes")
    for client in cluster.clients.values():
        ended = client.core.ended
        if ended and ended != DONE and not kinds & _ENDINGS.get(ended, set()):
            yield f"{client.name} has ended: {ended}"


_ENDINGS: Final = {
    DIED: {"client dies"},
    NOBODY: {"no scheduler comes"},
    f"refused: {ANOTHER}": {"scheduler dies"},  # twice, or when somebody new was faster
    LOST_FOR_GOOD: {"no scheduler comes", "partition"},
}


def nothing_is_left_at_the_scheduler(cluster: Cluster) -> Iterator[str]:
    """All tables of the scheduler are empty."""
    state = cluster.scheduler.core.state
    yield from (f"{task!r} is left at rest" for task in state.tasks.values())
    for name in _TABLES:
        table = getattr(state, name)
        if table:
            yield f"the scheduler's table {name!r} has {len(table)} rows left"
    for change in state.plugins.changes.values():
        yield f"somebody waits for the plugin {change.name}"
    for worker in state.workers.values():
        left: dict[str, Sized] = {
            "window": worker.window,
            "held": worker.held,
            "recalled": worker.recalled,
            "parked": worker.parked,
            "nested": worker.nested,
        }
        left["load"] = worker.load
        yield from (f"{worker} has {table} on record" for table, rows in left.items() if rows)
        if worker.free_resources != worker.resources:
            yield f"{worker} has only {worker.free_resources} free"


_TABLES: Final = (
    "keys", "names", "refs", "retried", "unreached", "deaths", "cancelling", "alone", "kept", "pinned", "puts", "waiting_puts",
    "waiting_asks", "draining", "renewals", "parting", "orders", "copied", "copies_asked",
    "limits", "late", "loosened",
)  # fmt: skip


def nothing_is_left_at_workers(cluster: Cluster) -> Iterator[str]:
    """Workers hold no values, attempts or questions."""
    for worker in cluster.workers.values():
        books = worker.core.books()
        del books["functions"]
        runner = worker.runner
        books["runner"] = len(runner.values) + len(runner.running) + len(runner.unbegun)
        books["inside"] = len(runner.parked) + len(runner.nests)
        books["store"] = len(worker.core.state.store)
        books["plugging"] = len(worker.core.state.plugging)
        left = {name: count for name, count in books.items() if count}
        if left:
            yield f"{worker.address} has left {left}"


def nothing_is_left_at_clients(cluster: Cluster) -> Iterator[str]:
    """Clients that let go of everything know of nothing."""
    for client in cluster.clients.values():
        if not client.dead and len(client.core.table):
            yield f"{client.name} has {len(client.core.table)} tasks left"


ALWAYS: Final[tuple[Rule, ...]] = (
    nobody_misbehaves,
    proposals_can_be_followed,
    answers_are_final,
    one_live_attempt,
    slots_are_not_overcommitted,
    resources_are_not_overcommitted,
    who_ran_out_of_memory_runs_alone,
    restrictions_are_kept,
    ended_clients_wait_for_nothing,
    drains_end,
)
#: When the scheduler has handed out work, about what it says.
WHEN_SAID: Final[tuple[SaidRule, ...]] = (
    nobody_is_late_too_early,
    urgent_first,
    nobody_gives_to_the_leaving,
    farewells_are_true,
    nobody_is_overtaken,
)
WHEN_QUIET: Final[tuple[Rule, ...]] = (
    the_welcomed_are_known,
    books_agree_on_attempts,
    books_agree_on_values,
    books_agree_on_slots,
    books_agree_on_functions,
    plugins_are_everywhere,
    books_agree_on_who_waits,
    nobody_outlives_its_task,
    wanted_is_what_clients_hold,
    clients_know_the_end,
    no_inversion_lasts,
    nobody_idles,
    recalls_are_answered,
)
AT_THE_END: Final[tuple[Rule, ...]] = (
    outcomes_are_right,
    limits_hold,
    clients_end_for_a_reason,
    nothing_is_left_at_the_scheduler,
    nothing_is_left_at_workers,
    nothing_is_left_at_clients,
)


def broken(rules: tuple[Rule, ...], cluster: Cluster) -> list[str]:
    """What is wrong, and by which rule."""
    return [f"{found} ({rule.__name__})" for rule in rules for found in rule(cluster)]
