"""A simulated cluster: who is there, who reaches whom, who dies with whom."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from trio_dask.testing.simulation.client import SimClient
from trio_dask.testing.simulation.network import Network
from trio_dask.testing.simulation.scheduler import SimScheduler
from trio_dask.testing.simulation.sharing import scheduler_died
from trio_dask.testing.simulation.truth import Truth
from trio_dask.testing.simulation.worker import SimWorker
from trio_dask.testing.simulation.world import World
from trio_dask.worker.core import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from trio_dask.scheduler import Placement
    from trio_dask.testing.simulation.coverage import Coverage
    from trio_dask.testing.simulation.plan import Plan

#: Workers and clients start within so long.
START_S = 0.1

#: One large value of a workload at a time comes to a process from others.
FETCH_BYTES_MAX: Final = 60_000_000


class Cluster:
    """All that is simulated."""

    def __init__(
        self,
        plan: Plan,
        *,
        coverage: Coverage | None = None,
        traced: bool = True,
        placement: Callable[[], Placement] | None = None,
    ) -> None:
        self.plan = plan
        self._placement = placement
        self.coverage = coverage
        self.world = World(plan.seed, traced=traced)
        self.network = Network(self.world, plan.network)
        self.truth = Truth(plan)
        self._ids = self.world.chance("clusters")
        self.scheduler = self._new_scheduler()
        self.scheduler.start()
        self.workers: dict[str, SimWorker] = {}  # the living, by address
        self._here: dict[str, SimWorker] = {}  # the living, by name
        self._lives: dict[str, int] = {}
        self._stores: dict[int, Store] = {}  # of processes
        self.worker_plans = {f"w{number}": each for number, each in enumerate(plan.workers)}
        self.clients = {
            f"c{number}": SimClient(self, f"c{number}", each)
            for number, each in enumerate(plan.clients)
        }
        chance = self.world.chance("start")
        for process in dict.fromkeys(each.process for each in plan.workers):
            when = START_S * chance.random()
            self.world.after(when, f"process {process} starts", partial(self.start, process))
        for name, client in self.clients.items():
            when = client.plan.begins + START_S * chance.random()
            self.world.after(when, f"{name} starts", client.start)

    # ---------------------------------------------------------------- the scheduler

    def _new_scheduler(self) -> SimScheduler:
        cluster = self._ids.getrandbits(64)
        placement = None if self._placement is None else self._placement()
        return SimScheduler(self.network, self.plan, cluster, self._listens, placement=placement)

    def _listens(self, address: str) -> bool:
        return address in self.workers

    def kill_scheduler(self) -> None:
        """The scheduler's process dies; the next one knows of nothing, and is to be started."""
        scheduler_died(self)
        old, self.scheduler = self.scheduler, self._new_scheduler()
        old.die()
        self.scheduler.on_flush = old.on_flush
        self.scheduler.complaints = old.complaints
        self.scheduler.established = old.established

    # ---------------------------------------------------------------- processes of workers

    def start(self, process: int) -> None:
        """A new process, or what is missing in one: nothing of an earlier one is left."""
        store = self._stores.setdefault(process, Store(FETCH_BYTES_MAX))
        for name, plan in self.worker_plans.items():
            if plan.process == process and name not in self._here:
                life = self._lives[name] = self._lives.get(name, 0) + 1
                worker = SimWorker(self, name, plan, life)
                self._here[name] = self.workers[worker.address] = worker
                worker.start(store)

    @property
    def begun_again(self) -> bool:
        """Whether any worker has ended, so that another had to be started."""
        return max(self._lives.values(), default=0) > 1

    def crash(self, worker: SimWorker) -> None:
        """The process dies with all its workers, and starts again in a while."""
        if worker.alive:
            self.kill(worker.name)
            restart = partial(self.start, worker.plan.process)
            self.world.after(0.3, f"{worker.name} starts again", restart)

    def kill(self, name: str) -> None:
        """The process of this worker dies, if there is one."""
        if name not in self.worker_plans:
            return
        process = self.worker_plans[name].process
        for worker in self.beside(name):
            worker.die()
            del self._here[worker.name], self.workers[worker.address]
        self._stores.pop(process, None)

    def departed(self, worker: SimWorker) -> None:
        """A worker has left in good order; a new one takes its place, or a new process theirs."""
        del self._here[worker.name], self.workers[worker.address]
        process = worker.plan.process
        others = self.beside(worker.name)
        for each in others:
            each.forget_neighbour(worker)
        if not others:
            self._stores.pop(process, None)
        hurry = [each.hurries_since is not None for each in (worker, *others)]
        if not others or not all(hurry):  # else its process is about to end
            again = f"{worker.name} comes again"
            self.world.after(worker.returns_after, again, partial(self.start, process))

    def beside(self, name: str) -> list[SimWorker]:
        """The living workers of the process that this one is, or was, in."""
        process = self.worker_plans[name].process
        return [each for each in self._here.values() if each.plan.process == process]

    def worker(self, name: str) -> SimWorker | None:
        """The living worker of this name."""
        return self._here.get(name)

    # ---------------------------------------------------------------- who reaches whom

    def neighbour(self, worker: SimWorker, address: str) -> SimWorker | None:
        """The worker at this address, if it lives in the same process."""
        found = self.workers.get(address)
        same = found is not None and found.plan.process == worker.plan.process
        return found if same else None

    def reach(self, host: str, address: str) -> SimWorker | None:
        """The worker at this address, if the host can connect to it."""
        found = self.workers.get(address)
        if found is None or not self.network.reachable(host, found.name):
            return None
        return found
