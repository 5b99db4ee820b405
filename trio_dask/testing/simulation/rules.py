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
from trio_dask.testing.simulation.at_workers import (
    books_agree_on_attempts,
    books_agree_on_functions,
    books_agree_on_slots,
    books_agree_on_values,
    books_agree_on_who_waits,
    nobody_is_doubted,
    nothing_is_left_at_workers,
    one_live_attempt,
    plugins_are_everywhere,
    slots_are_not_overcommitted,
)
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
from trio_dask.testing.simulation.presence import connected, is_present, present, registered
from trio_dask.testing.simulation.reuniting import nobody_is_overtaken
from trio_dask.testing.simulation.sharing import (
    no_records_are_left,
    nothing_put_is_lost,
    what_was_acknowledged_is_there,
)
from trio_dask.testing.simulation.truth import BOUND, FAILURE

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


def resources_are_not_overcommitted(cluster: Cluster) -> Iterator[str]:
    """What a worker's running tasks take together is what it has, at most."""
    for worker, record in registered(cluster):
        taken: Counter[str] = Counter()
        for attempt in worker.running():
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
        there = worker.unbegun().union(worker.running())
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


def nobody_outlives_its_task(cluster: Cluster) -> Iterator[str]:
    """The scheduler knows no client inside a task but those of tasks that run."""
    state = cluster.scheduler.core.state
    for client in state.clients.values():
        nest = client.nest
        if nest is not None and nest.worker.nested.get(nest.attempt) is not client:
            yield f"the client {client.name} has no task"


def _holders(cluster: Cluster) -> Iterator[SimClient | SimNest]:
    """All clients, also those inside tasks."""
    yield from cluster.clients.values()
    for worker, _ in registered(cluster):
        for hosted in worker.runners.values():
            if hosted.runner.alive:
                yield from hosted.runner.nests.values()


def wanted_is_what_clients_hold(cluster: Cluster) -> Iterator[str]:
    """What the scheduler believes a client to want, it wants, and nothing else is wanted."""
    state = cluster.scheduler.core.state
    wanted: dict[int, set[int]] = {number: set() for number in state.clients}
    for task in state.tasks.values():
        for tid in wants(task):
            if tid > 0 and client_of(tid) in wanted:
                wanted[client_of(tid)].add(tid)
            elif tid > 0:
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
        unbegun = worker.unbegun()
        kept = [each for each in record.recalled if each in unbegun]
        if kept:
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
        reason = _was_brought_and_lost(cluster, causes) or truth.restarted
        reason = reason or cluster.network.parted_for_ever
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
        reason = bool(causes["stopped"] or truth.restarted)
        reason = reason or _was_brought_and_lost(cluster, causes)
        reason = reason or cluster.network.parted_for_ever
        late = kind.endswith("TaskTimeout") and bool(causes["limited"])
        explained = killed or late or (kind.endswith("DataLost") and reason)
    return "" if explained else f"fails without reason: {value!r}"


#: What goes wrong without any worker losing what clients have brought.
_LOSE_NOTHING: Final = frozenset(
    (
        "scheduler dies", "client dies", "worker is cut off", "client is cut off",
        "data connections break", "runner dies", "runner is recycled", "memory runs out",
        "plugin comes", "values are spread",
    )
)  # fmt: skip


def _was_brought_and_lost(cluster: Cluster, causes: dict[str, set[int]]) -> bool:
    """Whether it is made of a value that nobody can make again, and that may be gone.

    A worker may have lost it; or it was let go of, as what was made of it was there, and that is lost.
    """
    kinds = {fault.kind for fault in cluster.plan.faults}
    kept = not causes["made"] or not cluster.truth.runners_ended
    harmless = kinds <= _LOSE_NOTHING and not cluster.begun_again and kept
    return bool(causes["scattered"]) and not harmless


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
    NOBODY: {"no scheduler comes", "partition"},  # before it was welcomed
    f"refused: {ANOTHER}": {"scheduler dies"},  # see `SimScheduler.established`
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
    "waiting_asks", "draining", "renewals", "parting", "orders", "copied", "copies_asked", "relays",
    "limits", "late", "loosened",
)  # fmt: skip


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
    nobody_is_doubted,
    slots_are_not_overcommitted,
    resources_are_not_overcommitted,
    who_ran_out_of_memory_runs_alone,
    restrictions_are_kept,
    ended_clients_wait_for_nothing,
    drains_end,
)
#: When clients have done all that they were to do.
WHEN_DONE: Final[tuple[Rule, ...]] = (nothing_put_is_lost,)
#: When the scheduler has handed out work, about what it says.
WHEN_SAID: Final[tuple[SaidRule, ...]] = (
    nobody_is_late_too_early,
    urgent_first,
    nobody_gives_to_the_leaving,
    farewells_are_true,
    nobody_is_overtaken,
    what_was_acknowledged_is_there,
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
    no_records_are_left,
    clients_end_for_a_reason,
    nothing_is_left_at_the_scheduler,
    nothing_is_left_at_workers,
    nothing_is_left_at_clients,
)


def broken(rules: tuple[Rule, ...], cluster: Cluster) -> list[str]:
    """What is wrong, and by which rule."""
    return [f"{found} ({rule.__name__})" for rule in rules for found in rule(cluster)]
