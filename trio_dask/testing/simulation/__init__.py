"""The whole cluster in one thread from one seed: the real cores, a simulated world around them."""

from __future__ import annotations

from dataclasses import dataclass, field

from trio_dask.scheduler.core.invariants import violations
from trio_dask.testing.simulation.client import SimClient
from trio_dask.testing.simulation.nodes import SimScheduler, SimWorker
from trio_dask.testing.simulation.world import World

__all__ = ["Simulation", "SimulationResult"]


@dataclass(frozen=True, slots=True)
class SimulationResult:
    """How a simulated cluster fared."""

    seed: int
    unfinished: list[str]  # tasks that had no outcome in the end
    violations: list[str]  # rules that did not hold
    steps: int
    virtual_seconds: float
    finished: int  # attempts that ended
    trace_hash: str

    @property
    def ok(self) -> bool:
        """Whether everything wanted ended, as it should have, and nothing was left."""
        return not self.unfinished and not self.violations

    def report(self) -> str:
        """What went wrong, in lines, and how to see it again."""
        lines = [
            f"seed {self.seed}: {self.steps} steps, {self.virtual_seconds:.3f} virtual seconds"
        ]
        lines += (f"  violated: {each}" for each in self.violations)
        lines += (f"  unfinished: {each}" for each in self.unfinished)
        lines.append(f"  again: Simulation(seed={self.seed}, …).run() with the same arguments")
        return "\n".join(lines)


@dataclass(slots=True, kw_only=True)
class Simulation:
    """A simulated cluster: schedulers, workers and clients as in production, all else made up.

    Args:
        seed: Decides everything that chance decides.
        workers: How many worker processes.
        clients: How many clients.
        faults: Whether runners and workers die, and connections between workers break.
        check_every: Steps between two checks of the scheduler's books.

    Example:
        >>> run = Simulation(seed=17, workers=3, clients=1).run()
        >>> run.ok
        True
    """

    seed: int
    workers: int = 3
    clients: int = 2
    faults: bool = True
    check_every: int = 1
    virtual_seconds_max: float = 300.0
    _violations: list[str] = field(default_factory=list, init=False)

    def run(self) -> SimulationResult:
        """Let it all happen, until the clients have let go of everything or time is up."""
        world = World(self.seed)
        cluster: dict[str, SimWorker] = {}
        failed: dict[int, int] = {}
        scheduler = SimScheduler(world)
        workers = [
            SimWorker(cluster, f"w{number}", world.random.choice((1, 1, 2, 4)), failed)
            for number in range(self.workers)
        ]
        for worker in workers:
            world.after(
                world.random.random() * 0.1,
                f"{worker.name} starts",
                lambda worker=worker: worker.start(world, scheduler),  # type: ignore[misc]
            )
        clients = [
            SimClient(world, f"c{number}", cluster, scheduler) for number in range(self.clients)
        ]
        if self.faults:
            self._plan_faults(world, workers, scheduler)
        self._violations = []
        while not self._over(clients, world) and world.now < self.virtual_seconds_max:
            world.step()
            if world.steps % self.check_every == 0:
                self._violations += violations(scheduler.core.state)
            if self._violations:
                break
        return self._judge(world, scheduler, workers, clients)

    def _over(self, clients: list[SimClient], world: World) -> bool:
        if not all(client.finished for client in clients):
            self._quiet_from = world.now
            return False
        return world.now > self._quiet_from + _QUIET_S

    _quiet_from: float = field(default=0.0, init=False)

    def _plan_faults(self, world: World, workers: list[SimWorker], scheduler: SimScheduler) -> None:
        chance = world.random
        for _ in range(chance.randint(0, 6)):
            worker = chance.choice(workers)
            when = 0.1 + chance.random()
            match chance.choice(("runner", "runner", "worker", "connection")):
                case "runner":
                    world.after(when, f"fault: {worker.name} runner", worker.crash_runner)
                case "worker":
                    world.after(when, f"fault: {worker.name}", worker.crash)
                    world.after(
                        when + 0.5,
                        f"{worker.name} starts again",
                        lambda worker=worker: worker.start(world, scheduler),  # type: ignore[misc]
                    )
                case "connection":
                    world.after(when, f"fault: {worker.name} connections", worker.cut_connections)

    def _judge(
        self,
        world: World,
        scheduler: SimScheduler,
        workers: list[SimWorker],
        clients: list[SimClient],
    ) -> SimulationResult:
        state = scheduler.core.state
        found = self._violations + scheduler.complaints
        unfinished: list[str] = []
        for client in clients:
            found += client.violations
            if not client.finished:
                unfinished += client.unfinished()
        if not found and not unfinished:
            found += (f"{task!r} is left at rest" for task in state.tasks.values())
            for worker in workers:
                left = {name: count for name, count in worker.leftovers().items() if count}
                if left:
                    found.append(f"{worker.name} has left {left}")
        return SimulationResult(
            self.seed,
            unfinished,
            found,
            world.steps,
            world.now,
            state.finished_ever,
            world.trace_hash,
        )


#: When the clients are done, the messages still under way have this long, seconds.
_QUIET_S = 2.0
