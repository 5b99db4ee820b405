"""One history from beginning to end: a plan is played, rules are checked, the end is judged."""

from __future__ import annotations

import platform
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from trio_dask.scheduler.core.invariants import violations
from trio_dask.testing.simulation import rules
from trio_dask.testing.simulation.cluster import Cluster
from trio_dask.testing.simulation.coverage import Coverage, watched_tasks
from trio_dask.testing.simulation.faults import arrange
from trio_dask.testing.simulation.planning import SCHEDULERS_DIE, make_plan
from trio_dask.testing.simulation.sharing import let_go_of_all
from trio_dask.testing.simulation.workloads import MIXED

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from trio_dask.messages import Message
    from trio_dask.scheduler import Placement
    from trio_dask.testing.simulation.plan import Fault, Plan

#: After the last planned fault, everything wanted has so long to end, virtual seconds.
LIVENESS_S: Final = 200.0
#: What takes more steps goes round in circles.
STEPS_MAX: Final = 1_000_000
#: All is over when nothing has been due for so long.
QUIET_S: Final = 5.0


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
    coverage: Coverage
    command: str  # that replays it

    @property
    def ok(self) -> bool:
        """Whether everything wanted ended, as it should have, and nothing was left."""
        return not self.unfinished and not self.violations

    def report(self) -> str:
        """What happened, what went wrong, in lines, and how to see it again."""
        lines = [
            (
                f"seed {self.seed}: {self.steps} steps, {self.virtual_seconds:.3f} virtual seconds, "
                f"{self.finished} attempts"
            ),
            f"  {self.coverage.summary()}",
        ]
        lines += (f"  violated: {each}" for each in self.violations[:_LINES_MAX])
        lines += (f"  unfinished: {each}" for each in self.unfinished[:_LINES_MAX])
        if not self.ok:
            lines.append(f"  again: {self.command}  (Python {platform.python_version()})")
        return "\n".join(lines)


_LINES_MAX: Final = 20


@dataclass(slots=True, kw_only=True)
class Simulation:
    """A simulated cluster: scheduler, workers and clients as in production, all else made up.

    Args:
        seed: Decides everything that chance decides.
        workers: How many workers; by default the seed says.
        clients: How many clients; by default the seed says.
        workload: What the clients do: a name of `WORKLOADS`, or "mixed".
        faults: Whether anything goes wrong, or what, or of which kind: "schedulers die".
        placement: What makes a placement policy, to see how it fares; its class, as a rule.

    Example:
        >>> run = Simulation(seed=17, workers=3, clients=1, workload="tree").run()
        >>> run.ok
        True
    """

    seed: int
    workers: int | None = None
    clients: int | None = None
    workload: str = MIXED
    faults: bool | str | Sequence[Fault] = True
    placement: Callable[[], Placement] | None = None

    def plan(self) -> Plan:
        """What is to happen."""
        return make_plan(
            self.seed,
            workers=self.workers,
            clients=self.clients,
            workload=self.workload,
            faults=self.faults,
        )

    def run(self) -> SimulationResult:
        """Let it all happen, until the clients have let go of everything or time is up."""
        return play(self.plan(), self.command(), placement=self.placement)

    def command(self) -> str:
        """What to say to a shell to see it again."""
        words = [f"python -m trio_dask.testing.simulation --seeds {self.seed}:"]
        if self.workers is not None:
            words.append(f"--workers {self.workers}")
        if self.clients is not None:
            words.append(f"--clients {self.clients}")
        if self.workload != MIXED:
            words.append(f"--workload {self.workload}")
        if not self.faults:
            words.append("--no-faults")
        elif self.faults == SCHEDULERS_DIE:
            words.append("--schedulers-die")
        if self.placement is not None:
            made_by = self.placement
            name = getattr(made_by, "__qualname__", repr(made_by))
            words.append(f"--placement {made_by.__module__}:{name}")
        return " ".join(words)


def play(
    plan: Plan,
    command: str = "",
    *,
    every_step: bool = False,
    steps_max: int = STEPS_MAX,
    placement: Callable[[], Placement] | None = None,
) -> SimulationResult:
    """Play a plan. With `every_step` no check is left out to save time."""
    coverage = Coverage()
    with ExitStack() as stack:
        stack.enter_context(watched_tasks(coverage.tasks))
        cluster = Cluster(plan, coverage=coverage, placement=placement)
        arrange(cluster)
        checks = _Checks(cluster, every_step=every_step)
        cluster.scheduler.on_flush = checks.on_flush
        quiet_from = until = max((fault.at for fault in plan.faults), default=0.0) + LIVENESS_S
        world = cluster.world
        while world.now < until and world.steps < steps_max and not checks.found:
            world.step()
            checks.after_step()
            if world.due or not all(client.finished for client in cluster.clients.values()):
                quiet_from = world.now
            elif world.now > quiet_from + QUIET_S:
                break
        _let_go(cluster, checks)
    return _judge(cluster, checks.found + coverage.unlawful(), coverage, command)


def _let_go(cluster: Cluster, checks: _Checks) -> None:
    """What clients have left to the cluster is taken back, so that nothing need be left."""
    if checks.found or not all(client.finished for client in cluster.clients.values()):
        return
    checks.found += rules.broken(rules.WHEN_DONE, cluster)
    let_go_of_all(cluster)
    end = cluster.world.now + QUIET_S
    while cluster.world.now < end and not checks.found:
        cluster.world.step()
        checks.after_step()


@dataclass(slots=True)
class _Checks:
    """The rules, looked at as often as is worth it."""

    cluster: Cluster
    every_step: bool
    found: list[str] = field(default_factory=list)
    _told: bool = True
    _books_at: int = 0
    _cluster_at: int = 0
    _quiet_at: float = 0.0
    _quiet_steps: int = 0

    def on_flush(self, said: list[tuple[int, list[Message]]]) -> None:
        """The scheduler has been told something, and has said what comes of it."""
        self._told = True
        if said:
            for rule in rules.WHEN_SAID:
                self.found += rule(self.cluster, said)

    def after_step(self) -> None:
        """Something has happened.

        Looking at all tasks after each event would make the time of a run quadratic: the
        more there are, the more events are between two looks.
        """
        cluster = self.cluster
        world, state = cluster.world, cluster.scheduler.core.state
        # Clocks tick often, and seldom for anything.
        steps, every = world.steps - world.ticks + world.ticks // _TICKS_A_STEP, self.every_step
        if self._told and (every or steps >= self._books_at):
            self._told = False
            self._books_at = steps + 1 + len(state.tasks) // _TASKS_A_STEP
            self.found += violations(state)
        if every or steps >= self._cluster_at:
            self._cluster_at = steps + _STEPS_A_LOOK
            self.found += rules.broken(rules.ALWAYS, cluster)
        quiet = not cluster.network.in_flight and not cluster.scheduler.core.busy
        if quiet and (every or (steps > self._quiet_steps and world.now >= self._quiet_at)):
            self._quiet_steps = steps
            self._quiet_at = world.now + _QUIET_LOOKS_S * (1 + len(state.tasks) / 100)
            self.found += rules.broken(rules.WHEN_QUIET, cluster)


#: So many tasks are looked at for each event, on average.
_TASKS_A_STEP: Final = 6
_STEPS_A_LOOK: Final = 4
#: So many ticks count as one event.
_TICKS_A_STEP: Final = 8
_QUIET_LOOKS_S: Final = 0.02


def _judge(
    cluster: Cluster, found: list[str], coverage: Coverage, command: str
) -> SimulationResult:
    unfinished = [] if found else [u for c in cluster.clients.values() for u in c.unfinished()]
    if not found and not unfinished:
        found = rules.broken(rules.AT_THE_END, cluster)
    world = cluster.world
    return SimulationResult(
        seed=cluster.plan.seed,
        unfinished=unfinished,
        violations=found,
        steps=world.steps,
        virtual_seconds=world.now,
        finished=cluster.truth.ended,
        trace_hash=world.trace_hash,
        coverage=coverage,
        command=command,
    )
