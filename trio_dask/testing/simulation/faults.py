"""What goes wrong in a simulated cluster: a plan of faults, made from the seed, and its execution."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from trio_dask.testing.simulation.client import DIED
from trio_dask.testing.simulation.plan import Fault
from trio_dask.testing.simulation.runner import BAD_PLUGIN

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from trio_dask.testing.simulation.cluster import Cluster

#: Faults begin within so long of the start, seconds.
FROM_S: Final = 0.1
FOR_S: Final = 1.5
#: Where memory is short, this is how long until it runs out again.
STARVE_S: Final = 0.08
#: Of the clusters in which something goes wrong, this part loses its scheduler.
SCHEDULER_DIES: Final = 0.3
#: Where they die one after the other, so many other things go wrong at most.
_BESIDE_MAX: Final = 3
#: Of plugins, which are numbers, this one cannot be set up.
_BAD: Final = 3


# ---------------------------------------------------------------- what they do


def runner_dies(cluster: Cluster, fault: Fault) -> None:
    """The process that runs a worker's tasks dies; its nanny starts another."""
    worker = cluster.worker(fault.host)
    if worker is not None:
        worker.crash_runner()


def memory_runs_out(cluster: Cluster, fault: Fault) -> None:
    """The process that runs a worker's tasks is killed for want of memory, again and again for `seconds`."""
    worker = cluster.worker(fault.host)
    if worker is not None:
        worker.starve_runner()
    until = cluster.world.now + STARVE_S
    if until <= fault.at + fault.seconds:
        again = partial(memory_runs_out, cluster, fault)
        cluster.world.after(STARVE_S, f"memory of {fault.host} runs out again", again)


def runner_is_recycled(cluster: Cluster, fault: Fault) -> None:
    """A worker has another process take the place of the one that runs its tasks."""
    worker = cluster.worker(fault.host)
    if worker is not None and worker.runners:
        worker.core.recycle(max(worker.runners), "it has lived long enough")
        worker.perform()


def worker_dies(cluster: Cluster, fault: Fault) -> None:
    """A worker process dies, and another is started after `seconds`; never if that is 0."""
    cluster.kill(fault.host)
    if fault.seconds and fault.host in cluster.worker_plans:
        process = cluster.worker_plans[fault.host].process
        cluster.world.after(
            fault.seconds, f"{fault.host} starts again", partial(cluster.start, process)
        )


def process_drains(cluster: Cluster, fault: Fault) -> None:
    """A signal has the workers of a process leave; another process starts `seconds` later."""
    if cluster.worker(fault.host) is not None:
        for worker in cluster.beside(fault.host):
            worker.returns_after = fault.seconds
            worker.drain(patient=False)


def worker_drains(cluster: Cluster, fault: Fault) -> None:
    """A worker's time is over, or the cluster is scaled down; later there is another."""
    worker = cluster.worker(fault.host)
    if worker is not None:
        worker.returns_after = fault.seconds
        worker.drain(patient=True)


def worker_is_retired(cluster: Cluster, fault: Fault) -> None:
    """A client retires a worker, one more comes later. If nobody can take its values it stays."""
    worker, client = cluster.worker(fault.host), cluster.clients[fault.other]
    if worker is not None and worker.registered:
        worker.returns_after = fault.seconds
        client.ask("retire_workers", {"workers": [worker.name]})


def cluster_restarts(cluster: Cluster, fault: Fault) -> None:
    """A client has everything forgotten, and all runners replaced."""
    client = cluster.clients[fault.host]
    if client.ask("restart", {}):
        cluster.truth.restarted = True


def workers_restart(cluster: Cluster, fault: Fault) -> None:
    """A client has the runners of a worker replaced."""
    worker = cluster.worker(fault.host)
    if worker is not None and worker.registered:
        cluster.clients[fault.other].ask("restart_workers", {"workers": [worker.name]})


def plugin_comes(cluster: Cluster, fault: Fault) -> None:
    """A client registers a plugin, perhaps one that cannot be set up, or takes one back."""
    client, number = cluster.clients[fault.host], int(fault.factor)
    if fault.seconds:
        client.ask("plugin.unregister", {"name": f"p{number % 2}"})
    else:
        data = BAD_PLUGIN if number == _BAD else b"good %d" % number
        client.ask("plugin.register", {"name": f"p{number % 2}", "data": data})


def values_are_spread(cluster: Cluster, fault: Fault) -> None:
    """A client has all values copied everywhere, or evened out."""
    tids = [
        tid
        for worker in cluster.workers.values()
        for runner in worker.core.state.runners.values()
        for tid in runner.held
    ]
    topic = "rebalance" if fault.seconds else "replicate"
    cluster.clients[fault.host].ask(topic, {"tids": sorted(set(tids))})


def client_dies(cluster: Cluster, fault: Fault) -> None:
    """A client's process ends without a word."""
    cluster.clients[fault.host].die(DIED)


def scheduler_dies(cluster: Cluster, fault: Fault) -> None:
    """The scheduler's process dies; another, with empty tables, is there after `seconds`.

    Never if that is 0. Who was connected comes back to it.
    """
    if cluster.scheduler.listening:
        cluster.kill_scheduler()
        if fault.seconds:
            cluster.world.after(
                fault.seconds, "the scheduler starts again", cluster.scheduler.start
            )


def worker_is_cut_off(cluster: Cluster, fault: Fault) -> None:
    """A worker's connection to the scheduler breaks; it comes back on another."""
    worker = cluster.worker(fault.host)
    if worker is not None:
        worker.link.cut("a fault")


def client_is_cut_off(cluster: Cluster, fault: Fault) -> None:
    """A client's connection to the scheduler breaks; it comes back on another."""
    cluster.network.cut_between(fault.host, "scheduler")


def data_connections_break(cluster: Cluster, fault: Fault) -> None:
    """The connections between a host and a worker break; both go on."""
    cluster.network.cut_between(fault.host, fault.other)


def partition(cluster: Cluster, fault: Fault) -> None:
    """A host and a worker cannot reach each other for `seconds`; never again if that is 0."""
    cluster.network.part(fault.host, fault.other, fault.seconds)


def slow_host(cluster: Cluster, fault: Fault) -> None:
    """All that a host does and says takes longer for a while."""
    cluster.network.slow_down(fault.host, fault.factor, fault.seconds)


def slow_link(cluster: Cluster, fault: Fault) -> None:
    """What a host and a worker say to each other takes longer for a while."""
    cluster.network.slow_down_between(fault.host, fault.other, fault.factor, fault.seconds)


def stalled_link(cluster: Cluster, fault: Fault) -> None:
    """What a host and a worker say to each other waits for a while."""
    cluster.network.stall_between(fault.host, fault.other, fault.seconds)


def stalled_host(cluster: Cluster, fault: Fault) -> None:
    """A host stands still for a while; what is sent to it waits."""
    cluster.network.stall(fault.host, fault.seconds)


#: What can go wrong, by its name in plans.
FAULTS: Final[dict[str, Callable[[Cluster, Fault], None]]] = {
    "runner dies": runner_dies,
    "runner is recycled": runner_is_recycled,
    "memory runs out": memory_runs_out,
    "worker dies": worker_dies,
    "client dies": client_dies,
    "process drains": process_drains,
    "worker drains": worker_drains,
    "worker is retired": worker_is_retired,
    "cluster restarts": cluster_restarts,
    "workers restart": workers_restart,
    "plugin comes": plugin_comes,
    "worker is cut off": worker_is_cut_off,
    "client is cut off": client_is_cut_off,
    "data connections break": data_connections_break,
    "partition": partition,
    "slow host": slow_host,
    "slow link": slow_link,
    "stalled link": stalled_link,
    "stalled host": stalled_host,
    "scheduler dies": scheduler_dies,
    "values are spread": values_are_spread,
}
#: Those that there are many of; without a scheduler most others mean little.
_ANY: Final = tuple(kind for kind in FAULTS if kind not in ("scheduler dies", "values are spread"))
#: While these happen it is worth seeing what becomes of another worker.
_WITH_OTHERS: Final = ("process drains", "worker drains", "worker is retired", "plugin comes")
_OFTEN: Final = (
    "runner dies", "runner dies", "worker dies", "data connections break", "process drains",
)  # fmt: skip


def arrange(cluster: Cluster) -> None:
    """Let the faults of the plan happen at their times."""
    for fault in cluster.plan.faults:
        what = f"fault: {fault.kind} {fault.host}"
        cluster.world.at(fault.at, what, partial(_happen, cluster, fault))


def _happen(cluster: Cluster, fault: Fault) -> None:
    FAULTS[fault.kind](cluster, fault)
    if cluster.coverage is not None:
        cluster.coverage.faults[fault.kind] += 1


# ---------------------------------------------------------------- which there are


def some_faults(chance: random.Random, workers: int, clients: int) -> tuple[Fault, ...]:
    """A plan: nothing at all, or a few faults, or, now and then, many of one kind."""
    count = chance.choice((0, 1, 2, 3, 5, 8))
    favourite = chance.choice(_ANY) if chance.random() < 0.25 else ""
    made = []
    for _ in range(count):
        kind = favourite or chance.choice((*_ANY, *_OFTEN))
        made.append(_some_fault(chance, kind, workers, clients))
        if kind in _WITH_OTHERS and workers > 1 and chance.random() < 0.5:
            made.append(_meanwhile(chance, made[-1], workers, clients))
    if made and chance.random() < SCHEDULER_DIES:
        made += deaths_of_the_scheduler(chance)
    return tuple(sorted(made, key=lambda fault: fault.at))


def some_spreading(chance: random.Random, clients: int) -> tuple[Fault, ...]:
    """Now and then values are copied or moved, once or several times."""
    return tuple(
        Fault(
            at=FOR_S * chance.random(),
            kind="values are spread",
            host=f"c{chance.randrange(clients)}",
            seconds=chance.choice((0.0, 1.0)),
        )
        for _ in range(chance.choice((0, 0, 1, 4)))
    )


def _meanwhile(chance: random.Random, leaving: Fault, workers: int, clients: int) -> Fault:
    """Something happens to another worker while this one leaves, or sets something up."""
    kind = chance.choice(("worker dies", "process drains", "stalled host", "runner dies"))
    others = [host for host in map("w{}".format, range(workers)) if host != leaving.host]
    fault = _some_fault(chance, kind, workers, clients)
    late = chance.choice((0.0005, 0.002, 0.02, 0.1))
    return replace(fault, at=leaving.at + late * chance.random(), host=chance.choice(others))


def deaths_of_the_scheduler(chance: random.Random, *, from_s: float = FROM_S) -> tuple[Fault, ...]:
    """One or two; now and then no other scheduler comes."""
    return tuple(
        Fault(
            at=from_s + FOR_S * chance.random(),
            kind="scheduler dies",
            host="scheduler",
            seconds=chance.choice((0.001, 0.05, 0.05, 0.5, 0.5, 2.0, 2.0, 0.0)),
        )
        for _ in range(chance.choice((1, 1, 2)))
    )


def schedulers_die(
    chance: random.Random, workers: int, beside: tuple[Fault, ...]
) -> tuple[Fault, ...]:
    """Some in quick succession, before all are back at the last; workers die meanwhile.

    A few other things happen, too: the first of those `beside`.
    """
    made = [fault for fault in beside if fault.kind != "scheduler dies"][:_BESIDE_MAX]
    at = FROM_S + FOR_S / 3 * chance.random()
    for _ in range(chance.choice((3, 5, 6))):
        at += 0.01 + chance.choice((0.05, 0.3, 1.0)) * chance.random()
        gone = chance.choice((0.001, 0.05, 0.2))
        made.append(Fault(at=at, kind="scheduler dies", host="scheduler", seconds=gone))
        at += gone
        made += [
            Fault(
                at=at + chance.choice((-0.1, 0.01, 0.2)) * chance.random(),
                kind="worker dies",
                host=f"w{chance.randrange(workers)}",
                seconds=chance.choice((0.02, 0.2, 0.5)),
            )
            for _ in range(chance.choice((0, 1, 2)))
        ]
    return tuple(sorted(made, key=lambda fault: fault.at))


def _some_fault(  # noqa: C901, PLR0912 - a case for each kind
    chance: random.Random, kind: str, workers: int, clients: int
) -> Fault:
    at = FROM_S + FOR_S * chance.random()
    host, client = f"w{chance.randrange(workers)}", f"c{chance.randrange(clients)}"
    others = [client, *(f"w{number}" for number in range(workers))]
    any_host = chance.choice((host, host, client, "scheduler"))
    more: dict[str, Any] = {"host": host}
    match kind:
        case "client dies" | "client is cut off" | "cluster restarts":
            more = {"host": client}
        case "plugin comes":
            seconds = chance.choice((0.0, 0.0, 0.0, 1.0))
            more = {"host": client, "factor": float(chance.randrange(_BAD + 1)), "seconds": seconds}
        case "memory runs out":
            more["seconds"] = chance.choice((0.0, 0.0, 0.2, 1.0))
        case "worker dies" | "process drains" | "worker drains":
            more["seconds"] = chance.choice((0.001, 0.05, 0.5, 2))
        case "worker is retired" | "workers restart":
            more |= {"other": client, "seconds": chance.choice((0.001, 0.05, 0.5, 2))}
        case "data connections break":
            more["other"] = chance.choice(others)
        case "partition":
            more |= {
                "host": chance.choice((host, host, client)),
                "other": chance.choice((*others, "scheduler")),
                "seconds": chance.choice((0.05, 0.5, 3.0, 0.0)),
            }
            if more["other"] == "scheduler" and not more["seconds"]:
                more["seconds"] = 6.0  # a worker alone could never go on
        case "slow link":
            other = chance.choice((*others, "scheduler"))
            more |= {"other": other, "seconds": 1.0, "factor": 30.0}
        case "stalled link":
            other = chance.choice((*others, "scheduler"))
            more |= {"other": other, "seconds": chance.choice((0.05, 0.5, 2.0, 6.0))}
        case "slow host":
            more = {"host": any_host, "seconds": 1.0, "factor": chance.choice((3.0, 30.0))}
        case "stalled host":
            more = {"host": any_host, "seconds": chance.choice((0.05, 0.5, 2.0, 6.0))}
        case _:
            pass
    return Fault(at=at, kind=kind, **more)
