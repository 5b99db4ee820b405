"""What must hold between a worker of a simulated cluster, its runners, and the scheduler: see `rules`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from trio_dask.testing.simulation.presence import connected, counted_on
from trio_dask.worker.core.apart import unbegun

if TYPE_CHECKING:
    from collections.abc import Iterator

    from trio_dask.testing.simulation.cluster import Cluster


def one_live_attempt(cluster: Cluster) -> Iterator[str]:
    """No task is with two living workers that the scheduler counts on."""
    seen: dict[int, str] = {}
    for worker, unheard in counted_on(cluster):
        state = worker.core.state
        waiting = [row.tid for row in state.waiting.values() if row.attempt not in unheard]
        waiting += [
            state.apart[attempt].row.tid for attempt in unbegun(state) if attempt not in unheard
        ]
        given = [
            tid
            for runner in state.runners.values()
            for attempt, tid in runner.given.items()
            if attempt not in unheard
        ]
        for tid in (*given, *waiting):
            if tid in seen:
                yield f"task {tid:x} is with {seen[tid]} and {worker.address}"
            seen[tid] = worker.address


def slots_are_not_overcommitted(cluster: Cluster) -> Iterator[str]:
    """A runner runs no more tasks at a time than it has slots."""
    for worker in cluster.workers.values():
        for number, hosted in worker.runners.items():
            if hosted.runner.taken > worker.plan.nthreads:
                yield f"{worker.address} runs {hosted.runner.taken} tasks in runner {number}"


def books_agree_on_attempts(cluster: Cluster) -> Iterator[str]:
    """The scheduler's window of a worker is what that worker has been given and not answered."""
    for worker, record in connected(cluster):
        state = worker.core.state
        there = {*state.waiting, *unbegun(state)}
        for runner in state.runners.values():
            there |= runner.given.keys() - runner.abandoned  # which are reported before they end
        if there != record.window.keys():
            yield f"{worker.address} has {sorted(there)}, its window {sorted(record.window)}"
        for number, hosted in worker.runners.items():
            given, runs = state.runners[number].given, hosted.runner
            running = {**runs.running, **runs.unbegun, **runs.parked}
            if runs.alive and running.keys() != given.keys():
                yield f"{worker.address} knows of {sorted(given)}, its runner {sorted(running)}"


def nobody_is_doubted(cluster: Cluster) -> Iterator[str]:
    """No heartbeat has given the scheduler cause to ask a worker what it runs."""
    for peer, doubt in cluster.scheduler.core.state.reunion.doubts.items():
        yield f"worker {peer} was asked {doubt.times} times what it has"


def books_agree_on_values(cluster: Cluster) -> Iterator[str]:
    """What the scheduler believes a worker to hold, it holds, and nothing else.

    But for copies of what it is making anew, which are let go of when it has; so is what an attempt
    that nobody counts on has made in a process where another makes the same.
    """
    for worker, record in connected(cluster):
        state = worker.core.state
        there = state.store.held_by(worker.name)
        for runner in state.runners.values():
            there |= runner.held.keys()
        if there - record.stray.keys() != record.held.keys():
            yield f"{worker.address} holds {sorted(there)}, on record are {sorted(record.held)}"
        for number, hosted in worker.runners.items():
            held, twice = state.runners[number].held.keys(), state.runners[number].twice.keys()
            holds = hosted.runner.values.keys() - (twice - held)
            if hosted.runner.alive and holds != held:
                yield f"runner {number} of {worker.address} holds {sorted(holds)}"


def books_agree_on_slots(cluster: Cluster) -> Iterator[str]:
    """The scheduler knows how many tasks a worker can run."""
    for worker, record in connected(cluster):
        taking = [each for each in worker.core.state.runners.values() if each.takes_tasks]
        if len(taking) > worker.core.state.count:
            yield f"{worker.address} has {len(taking)} runners that take tasks"
        if record.told != worker.core.state.usable_slots:
            yield f"{worker.address} has {record.told} slots on record"
        if record.slots != record.usable_slots:
            yield f"{record.slots} slots of {worker.address} are used"


def books_agree_on_who_waits(cluster: Cluster) -> Iterator[str]:
    """The scheduler knows which tasks have no slot, and which have a client."""
    for worker, record in connected(cluster):
        alive = {
            number: each.runner for number, each in worker.runners.items() if each.runner.alive
        }
        if len(alive) < len(worker.core.state.runners):
            continue
        parked: set[int] = set()
        nests: set[int] = set()
        for number, runner in alive.items():
            abandoned = worker.core.state.runners[number].abandoned
            parked |= runner.parked.keys() - abandoned
            nests |= {attempt for attempt, nest in runner.nests.items() if not nest.core.ended}
            nests -= abandoned
        if record.parked.keys() != parked:
            yield f"{worker.address} has {sorted(parked)} waiting, on record {sorted(record.parked)}"
        if record.nested.keys() != nests:
            yield f"{worker.address} has clients in {sorted(nests)}, not {sorted(record.nested)}"


def books_agree_on_functions(cluster: Cluster) -> Iterator[str]:
    """A worker has the functions that the scheduler need not send it again, and no others."""
    for worker, record in connected(cluster):
        there = worker.core.state.functions.keys()
        if record.functions != there:
            yield f"{worker.address} has {sorted(there)}, on record are {sorted(record.functions)}"
        for number, hosted in worker.runners.items():
            functions = worker.core.state.runners[number].functions
            if hosted.runner.alive and hosted.runner.functions.keys() != functions:
                yield f"runner {number} of {worker.address} is thought to know {sorted(functions)}"


def plugins_are_everywhere(cluster: Cluster) -> Iterator[str]:
    """Each worker, and each runner that takes tasks, has the plugins that there are, in order.

    But for what is still waited for somewhere: it is gone at once where it cannot be set up.
    """
    books = cluster.scheduler.core.state.plugins
    changing = {change.name for change in books.changes.values()}

    def settled(plugins: dict[str, bytes]) -> list[tuple[str, bytes]]:
        return [each for each in plugins.items() if each[0] not in changing]

    there = settled(books.there)
    for worker, _ in connected(cluster):
        state = worker.core.state
        if settled(state.plugins) != there:
            yield f"{worker.address} has the plugins {list(state.plugins)}, not {there}"
        for runner in state.taking:
            runs = worker.runners[runner.number].runner
            if runs.alive and not runs.holds and settled(runs.plugins) != there:
                yield f"runner {runner.number} of {worker.address} has {list(runs.plugins)}"


def nothing_is_left_at_workers(cluster: Cluster) -> Iterator[str]:
    """Workers hold no values, attempts or questions."""
    for worker in cluster.workers.values():
        books = worker.core.books()
        del books["functions"]
        runners = [hosted.runner for hosted in worker.runners.values()]
        books["runners"] = sum(
            len(each.values) + each.taken + len(each.unbegun) + len(each.asked) for each in runners
        )
        books["inside"] = sum(len(each.parked) + len(each.nests) for each in runners)
        books["store"] = len(worker.core.state.store)
        books["plugging"] = len(worker.core.state.plugging)
        left = {name: count for name, count in books.items() if count}
        if left:
            yield f"{worker.address} has left {left}"
